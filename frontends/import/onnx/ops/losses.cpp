// Losses over classes: x [N, C, d1, ...] with labels [N, d1, ...].
#include <limits>

#include "frontends/import/onnx/ops/common.h"

namespace fovea::onnx {
namespace {

struct Loss {
  Tensor labels;
  Tensor weight;  // [C], or undefined
  int64_t ignored;
  std::string reduction;
};

Loss loss_of(Context& c, const Tensor& x) {
  if (x.rank() < 2) c.invalid("the scores have rank " + std::to_string(x.rank()) + ", at least 2 is needed");
  Loss loss{c.in(1), c.optional(2), c.integer("ignore_index", std::numeric_limits<int64_t>::min()),
            c.text("reduction", "mean")};
  if (loss.reduction != "none" && loss.reduction != "mean" && loss.reduction != "sum")
    c.invalid("reduction is \"" + loss.reduction + "\"");
  return loss;
}

Tensor classes_last(const Tensor& x) { return x.rank() == 2 ? x : move_axis(x, 1, -1); }

// The losses of single places times the weights of their classes; the mean is weighted, too.
Tensor weighted(const Tensor& log_p, const Loss& loss) {
  const Tensor ignored = equal(loss.labels, loss.ignored), labels = where(ignored, 0, loss.labels);
  const Tensor weight = where(ignored, zeros({}, loss.weight.dtype()), gather(loss.weight, labels));
  const Tensor each = -squeeze(take_along_axis(log_p, unsqueeze(labels, -1), -1), {-1}) * weight;
  if (loss.reduction == "none") return each;
  return loss.reduction == "sum" ? sum(each) : sum(each) / sum(weight);
}

}  // namespace

FOVEA_ONNX(NegativeLogLikelihoodLoss) {
  const Tensor x = c.in(0), log_p = classes_last(x);
  const Loss loss = loss_of(c, x);
  if (loss.weight.defined()) return {weighted(log_p, loss)};
  return {nll_loss(log_p, loss.labels, loss.ignored, loss.reduction)};
}

FOVEA_ONNX(SoftmaxCrossEntropyLoss) {
  const Tensor x = c.in(0);
  const Loss loss = loss_of(c, x);
  if (!loss.weight.defined() && c.outputs() < 2) {
    const Tensor y = cross_entropy(classes_last(x), loss.labels,
                                   {.ignore_index = loss.ignored, .reduction = loss.reduction});
    return {cast(y, x.dtype())};
  }
  const Tensor log_p = log_softmax(x, 1), last = classes_last(log_p);
  const Tensor y = loss.weight.defined() ? weighted(last, loss)
                                         : nll_loss(last, loss.labels, loss.ignored, loss.reduction);
  return {y, log_p};
}

}  // namespace fovea::onnx
