#include "ops/composite/linear_cross_entropy/linear_cross_entropy.h"

#include "ops/composite/linear/linear.h"
#include "ops/core/cast/cast.h"
#include "ops/core/full/full.h"
#include "ops/core/matmul/matmul.h"
#include "ops/core/permute/permute.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/sum/sum.h"
#include "ops/shared/functions.h"
#include "ops/shared/gradients.h"
#include "ops/shared/losses.h"
#include "ops/shared/rows.h"

namespace fovea {
namespace {

enum Operand { kX, kWeight, kLabels, kBias };
enum Result { kLoss, kLse, kGradX, kGradWeight, kGradBias };

// With a loss for each row the gradients cannot be made before the gradients of the losses are known.
bool has_gradients(const Attrs& attrs) {
  return attrs.flag("gradients") && attrs.text("reduction") != "none";
}

Attrs loss_attrs(const Attrs& attrs) {
  Attrs out = attrs;
  out.erase("gradients");
  return out;
}

void infer(InferContext& c) {
  if (c.rank(kX) < 1) c.fail("x has rank 0, at least 1 is needed");
  if (c.rank(kWeight) != 2)
    c.fail("weight has rank " + std::to_string(c.rank(kWeight)) + ", 2 is needed: [classes, in]");
  c.same_dtype(kX, kWeight);
  c.same(c.shape(kX).back(), c.shape(kWeight)[1], "x has {a} features, weight [classes, in] takes {b}");
  if (c.shape(kWeight)[0] == Dim(0)) c.fail("weight [classes, in] has no classes: its first axis has size 0");
  if (c.in.size() > kBias) {
    c.same_dtype(kX, kBias);
    if (c.rank(kBias) != 1) c.fail("bias has rank " + std::to_string(c.rank(kBias)) + ", 1 is needed");
    c.same(c.shape(kBias)[0], c.shape(kWeight)[0], "bias has {a} elements, weight [classes, in] gives {b}");
  }
  const double smoothing = c.attrs.number("smoothing");
  if (!(smoothing >= 0 && smoothing <= 1))
    c.fail("smoothing " + std::to_string(smoothing) + " is not between 0 and 1");
  const DType wide = row_dtype(c.dtype(kX));
  c.output(wide, infer_label_loss(c, kLabels));
  c.output(wide, c.shape(kLabels));
  if (!has_gradients(c.attrs)) return;
  c.output(c.in[kX]);
  c.output(c.in[kWeight]);
  if (c.in.size() > kBias) c.output(c.in[kBias]);
}

Tensor rows_of(const Tensor& x) {
  return x.rank() == 1 ? unsqueeze(x, 0) : x.rank() == 2 ? x : flatten(x, 0, x.rank() - 2);
}

// Half types are widened first: the logits have no type of their own.
Tensors decompose(const OpArgs& a) {
  const DType wide = row_dtype(a.in[kX].dtype());
  auto widened = [&](size_t i) { return a.in[i].dtype() == wide ? a.in[i] : cast(a.in[i], wide); };
  auto narrowed = [&](const Tensor& g) { return a.in[kX].dtype() == wide ? g : cast(g, a.in[kX].dtype()); };
  const bool has_bias = a.in.size() > kBias;
  const Tensor x = widened(kX), weight = widened(kWeight), &labels = a.in[kLabels];
  const Tensor logits = linear(x, weight, has_bias ? widened(kBias) : Tensor());
  const Attrs attrs = loss_attrs(a.attrs);
  Tensors out = apply("cross_entropy", {logits, labels}, attrs);
  if (!has_gradients(a.attrs)) return out;
  const Tensor one = full({}, 1.0, wide);
  const Tensor g = rows_of(apply1("cross_entropy_backward", {logits, labels, out[kLse], one}, attrs));
  out.push_back(narrowed(reshape(matmul(g, weight), x.shape())));
  out.push_back(narrowed(matmul(transpose(g, 0, 1), rows_of(x))));
  if (has_bias) out.push_back(narrowed(sum(g, {0})));
  return out;
}

// True for the number 1 that a loss is usually seeded with.
bool is_one(const Tensor& x) {
  if (!x.traced()) return x.rank() == 0 && x.item() == 1;
  const Node& node = x.builder()->graph().nodes[x.value().node];
  return node.op->name() == "full" && node.attrs.number("value") == 1;
}

// The op as its parts, differentiated once more.
Tensors gradient_of_parts(const GradArgs& a) {
  const std::shared_ptr<Builder> outer = a.in[0].builder();
  if (!outer) invalid("linear_cross_entropy: its gradient is taken of traced operands only");
  auto parts = Builder::make(outer->module(), "linear_cross_entropy");
  Tensors args;
  for (const Tensor& x : a.in) args.push_back(parts->input("", x.type()));
  {
    const TraceScope trace(parts);
    for (const Tensor& t : decompose({args, a.attrs})) parts->output("", t);
  }
  return function_gradient(a, parts->finish()->name);
}

Tensors gradient(const GradArgs& a) {
  bool only_loss = has_gradients(a.attrs) && a.grad[kLoss].defined();
  for (size_t i = kLse; i < a.grad.size(); ++i) only_loss = only_loss && !a.grad[i].defined();
  if (!only_loss) return gradient_of_parts(a);
  auto scaled = [&](size_t i) {
    const Tensor& g = a.out[i];
    return is_one(a.grad[kLoss]) ? g : g * cast(a.grad[kLoss], g.dtype());
  };
  Tensors out(a.in.size());
  if (a.needs[kX]) out[kX] = scaled(kGradX);
  if (a.needs[kWeight]) out[kWeight] = scaled(kGradWeight);
  if (a.in.size() > kBias && a.needs[kBias]) out[kBias] = scaled(kGradBias);
  return out;
}

}  // namespace

FOVEA_OP(linear_cross_entropy) {
  op.doc(
        "cross_entropy(linear(x, weight, bias), labels), a chunk of rows at a time, so that the logits [..., "
        "V] never exist as a whole. With `gradients`, and a reduction that is not none, also the gradients "
        "of the loss by x, weight and bias, computed while the chunk exists.")
      .input("x", Types::floating)
      .input("weight", Types::floating)
      .input("labels", Types::index)
      .optional_input("bias", Types::floating)
      .output("loss")
      .output("lse")
      .output("x_gradient")
      .output("weight_gradient")
      .output("bias_gradient")
      .attr("smoothing", 0.0, "how much of the target is spread evenly over all classes")
      .attr("ignore_index", -100, "rows with this label have no loss and no gradient")
      .attr("reduction", "mean", "mean (over the rows that count), sum or none")
      .attr("gradients", false, "also compute the gradients of the loss")
      .keeps("gradients")
      .infer(infer)
      .decompose(decompose)
      .gradient(gradient)
      .sample({In{3, 4}, In{5, 4}, ints({3}, 0, 5)})
      .sample({In{2, 3, 4}, In{5, 4}, ints({2, 3}, 0, 5, DType::i32), In{5}},
              {{"smoothing", 0.1}, {"ignore_index", 1}, {"reduction", "none"}})
      .sample({In{3, 4}, In{5, 4}, ints({3}, 0, 5), In{5}},
              {{"smoothing", 0.2}, {"reduction", "sum"}, {"gradients", true}})
      .sample_error({In{3, 4}, In{5, 3}, ints({3}, 0, 5)}, {},
                    "x has 4 features, weight [classes, in] takes 3")
      .sample_error({In{3, 4}, In{5, 4}, ints({2}, 0, 5)}, {}, "axis 0 of labels is 2, the rows' is 3")
      .sample_error({In{3, 4}, In{5, 4}, ints({3}, 0, 5), In{4}}, {},
                    "bias has 4 elements, weight [classes, in] gives 5")
      .sample_error({In{3, 4}, In{5, 4}, ints({3}, 0, 5)}, {{"reduction", "all"}},
                    "reduction is 'all', not mean, sum or none");
}

Tensor linear_cross_entropy(const Arg& x, const Tensor& weight, const Tensor& labels, const Tensor& bias,
                            const CrossEntropyOptions& o) {
  return apply("linear_cross_entropy", {to_tensor(x, DType::f32), weight, labels, bias},
               {{"smoothing", o.smoothing}, {"ignore_index", o.ignore_index}, {"reduction", o.reduction}},
               x.source)[0];
}

}  // namespace fovea
