#include "ops/composite/cross_entropy/cross_entropy.h"

#include "ops/core/cast/cast.h"
#include "ops/core/exp/exp.h"
#include "ops/core/extent/extent.h"
#include "ops/core/log/log.h"
#include "ops/core/max/max.h"
#include "ops/core/stop_gradient/stop_gradient.h"
#include "ops/core/sum/sum.h"
#include "ops/core/where/where.h"
#include "ops/shared/losses.h"
#include "ops/shared/norms.h"
#include "ops/shared/rows.h"

namespace fovea {
namespace {

OpDecl& declare_options(OpDecl& op) {
  return op.attr("smoothing", 0.0, "how much of the target is spread evenly over all classes")
      .attr("ignore_index", -100, "rows with this label have no loss and no gradient")
      .attr("reduction", "mean", "mean (over the rows that count), sum or none");
}

Shape infer_options(InferContext& c) {
  const double smoothing = c.attrs.number("smoothing");
  if (!(smoothing >= 0 && smoothing <= 1))
    c.fail("smoothing " + std::to_string(smoothing) + " is not between 0 and 1");
  const Shape rows = infer_label_loss(c, 1);
  if (c.shape(0).back() == Dim(0)) c.fail("logits have no classes: their last axis has size 0");
  return rows;
}

Tensors decompose(const OpArgs& a) {
  const Tensor x = to_row_type(a.in[0]);
  const double smoothing = a.attrs.number("smoothing");
  const Labels labels(a.in[1], x.dim(-1), a.attrs.integer("ignore_index"));
  const Tensor shift = stop_gradient(max(x, {-1}, true));
  const Tensor lse = (log(sum(exp(x - shift), {-1}, true)) + shift).reshape(a.in[1].shape());
  Tensor loss = lse - at_labels(x, labels);
  if (smoothing != 0) {
    const Tensor even = lse - mean_over(x, {x.rank() - 1}).reshape(a.in[1].shape());
    loss = (1 - smoothing) * loss + smoothing * even;
  }
  return {reduce_row_losses(loss, labels, a.attrs.text("reduction")), lse};
}

Tensors gradient(const GradArgs& a) {
  Tensor dx;
  if (a.grad[0].defined())
    dx = apply1("cross_entropy_backward", {a.in[0], a.in[1], a.out[1], a.grad[0]}, a.attrs);
  if (a.grad[1].defined()) {  // d lse / dx = softmax
    const Tensor p = exp(to_row_type(a.in[0]) - with_trailing_ones(a.out[1], 1));
    dx = add_defined(dx, cast(p * with_trailing_ones(a.grad[1], 1), a.in[0].dtype()));
  }
  return {dx};
}

Tensors decompose_backward(const OpArgs& a) {
  const Tensor x = to_row_type(a.in[0]);
  const double smoothing = a.attrs.number("smoothing");
  const Dim classes = x.dim(-1);
  const Labels labels(a.in[1], classes, a.attrs.integer("ignore_index"));
  const Tensor counts = cast(labels.counts, x.dtype());
  Tensor weight = counts * a.in[3];
  if (a.attrs.text("reduction") == "mean") weight = weight / sum(counts);
  Tensor dx = exp(x - with_trailing_ones(a.in[2], 1)) -
              (1 - smoothing) * cast(one_true(labels, x.shape()), x.dtype());
  if (smoothing != 0) dx = dx - smoothing / extent(classes, x.dtype());
  return {cast(where(with_trailing_ones(labels.counts, 1), dx * with_trailing_ones(weight, 1), 0.0),
               a.in[0].dtype())};
}

}  // namespace

FOVEA_OP(cross_entropy) {
  op.doc(
      "Cross-entropy of softmax(logits [..., V]) against labels [...]: (1 - smoothing) (-log p[label]) + "
      "smoothing / V sum_j (-log p[j]). Also gives each row's log-sum-exp. Both f32 for half types.");
  declare_options(
      op.input("logits", Types::floating).input("labels", Types::index).output("loss").output("lse"))
      .infer([](InferContext& c) {
        c.output(row_dtype(c.dtype(0)), infer_options(c));
        c.output(row_dtype(c.dtype(0)), c.shape(1));
      })
      .decompose(decompose)
      .gradient(gradient)
      .sample({In{3, 5}, ints({3}, 0, 5)})
      .sample({In{2, 3, 4}, ints({2, 3}, 0, 4, DType::i32)},
              {{"smoothing", 0.1}, {"ignore_index", 1}, {"reduction", "none"}})
      .sample({In{3, 5}, ints({3}, 0, 5)}, {{"smoothing", 0.2}, {"reduction", "sum"}})
      .sample_error({In{3, 5}, ints({2}, 0, 5)}, {}, "axis 0 of labels is 2, the rows' is 3")
      .sample_error({In{3, 5}, ints({3}, 0, 5)}, {{"smoothing", 1.5}},
                    "smoothing 1.500000 is not between 0 and 1")
      .sample_error({In{3, 5}, ints({3}, 0, 5)}, {{"reduction", "all"}},
                    "reduction is 'all', not mean, sum or none");
}

FOVEA_OP(cross_entropy_backward) {
  op.doc(
      "The gradient of cross_entropy by the logits: gloss (softmax - (1 - smoothing) onehot - smoothing / "
      "V), with the softmax as exp(logits - lse); divided by the number of rows that count where reduction "
      "is mean.");
  declare_options(op.input("logits", Types::floating)
                      .input("labels", Types::index)
                      .input("lse", Types::floating)
                      .input("gloss", Types::floating)
                      .output("dlogits"))
      .infer([](InferContext& c) {
        const Shape loss = infer_options(c);
        check_row_values(c, 2, 0, 1);
        if (c.dtype(3) != row_dtype(c.dtype(0)))
          c.fail("gloss must be " + std::string(to_string(row_dtype(c.dtype(0)))) + ", got " +
                 std::string(to_string(c.dtype(3))));
        if (c.shape(3).size() != loss.size())
          c.fail("gloss has rank " + std::to_string(c.rank(3)) + ", the loss has " +
                 std::to_string(loss.size()));
        for (size_t d = 0; d < loss.size(); ++d)
          c.same(c.shape(3)[d], loss[d], "axis " + std::to_string(d) + " of gloss is {a}, of the loss {b}");
        c.output(c.in[0]);
      })
      .decompose(decompose_backward)
      .sample({In{3, 5}, ints({3}, 0, 5), In({3}).range(1, 2), In{}})
      .sample({In{2, 3, 4}, ints({2, 3}, 0, 4, DType::i32), In({2, 3}).range(1, 2), In{2, 3}},
              {{"smoothing", 0.1}, {"ignore_index", 1}, {"reduction", "none"}})
      .sample_error({In{3, 5}, ints({3}, 0, 5), In{3}, In{3}}, {}, "gloss has rank 1, the loss has 0");
}

Tensor cross_entropy(const Arg& logits, const Tensor& labels, const CrossEntropyOptions& o) {
  return apply("cross_entropy", {to_tensor(logits, DType::f32), labels},
               {{"smoothing", o.smoothing}, {"ignore_index", o.ignore_index}, {"reduction", o.reduction}},
               logits.source)[0];
}

}  // namespace fovea
