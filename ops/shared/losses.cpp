#include "ops/shared/losses.h"

#include "ops/composite/not_equal/not_equal.h"
#include "ops/core/cast/cast.h"
#include "ops/core/equal/equal.h"
#include "ops/core/extent/extent.h"
#include "ops/core/gather/gather.h"
#include "ops/core/iota/iota.h"
#include "ops/core/sum/sum.h"
#include "ops/core/where/where.h"
#include "ops/shared/norms.h"

namespace fovea {

void check_reduction(const InferContext& c) {
  const std::string& r = c.attrs.text("reduction");
  if (r != "mean" && r != "sum" && r != "none") c.fail("reduction is '" + r + "', not mean, sum or none");
}

void infer_element_loss(InferContext& c) {
  check_reduction(c);
  c.same_dtype(0, 1);
  c.same_shape(0, 1);
  if (c.attrs.text("reduction") == "none")
    c.output(c.in[0]);
  else
    c.output(c.dtype(0), {});
}

Tensor reduce_loss(const Tensor& x, const std::string& reduction) {
  if (reduction == "none") return x;
  const Tensor total = sum(x);
  return reduction == "sum" ? total : total / extent(x.shape(), x.dtype());
}

Labels::Labels(const Tensor& labels, const Dim& classes, int64_t ignore_index)
    : counts(not_equal(labels, ignore_index)) {
  // Looked up in 0, 1, ..., V - 1: what gather refuses is no label.
  safe = gather(arange(classes, labels.dtype()), where(counts, labels, 0), 0);
}

Tensor one_true(const Labels& labels, const Shape& shape) {
  return equal(iota(shape, static_cast<int64_t>(shape.size()) - 1, labels.safe.dtype()),
               with_trailing_ones(labels.safe, 1));
}

Tensor at_labels(const Tensor& x, const Labels& labels) {
  return sum(where(one_true(labels, x.shape()), x, 0.0), {-1});
}

Tensor reduce_row_losses(const Tensor& losses, const Labels& labels, const std::string& reduction) {
  const Tensor kept = where(labels.counts, losses, 0.0);
  if (reduction == "none") return kept;
  const Tensor total = sum(kept);
  return reduction == "sum" ? total : total / sum(cast(labels.counts, losses.dtype()));
}

Shape infer_label_loss(InferContext& c, size_t i) {
  check_reduction(c);
  if (c.rank(0) < 1) c.fail(c.op.inputs()[0].name + " has rank 0, it needs a class axis");
  const std::string& name = c.op.inputs()[i].name;
  if (c.rank(i) != c.rank(0) - 1)
    c.fail(name + " has rank " + std::to_string(c.rank(i)) + ", the rows ask for " +
           std::to_string(c.rank(0) - 1));
  for (int64_t d = 0; d < c.rank(i); ++d)
    c.same(c.shape(i)[d], c.shape(0)[d],
           "axis " + std::to_string(d) + " of " + name + " is {a}, the rows' is {b}");
  return c.attrs.text("reduction") == "none" ? c.shape(i) : Shape{};
}

}  // namespace fovea
