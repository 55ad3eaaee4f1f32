#include "ops/shared/norms.h"

#include <algorithm>

#include "ops/core/cast/cast.h"
#include "ops/core/full/full.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/sum/sum.h"
#include "ops/shared/reductions.h"
#include "ops/shared/rows.h"

namespace fovea {

Ints last_axes(int64_t rank, int64_t count) {
  Ints axes;
  for (int64_t d = rank - count; d < rank; ++d) axes.push_back(d);
  return axes;
}

Tensor mean_over(const Tensor& x, const Ints& axes) {
  return axes.empty() ? x : sum(x, axes, true) / reduced_count(x, axes);
}

Tensor with_trailing_ones(const Tensor& x, int64_t count) {
  Shape shape = x.shape();
  shape.insert(shape.end(), static_cast<size_t>(count), Dim(1));
  return x.reshape(shape);
}

Tensor per_channel(const Tensor& v, int64_t rank) { return with_trailing_ones(v, rank - 2); }

Ints all_but_channels(int64_t rank) {
  Ints axes{0};
  for (int64_t d = 2; d < rank; ++d) axes.push_back(d);
  return axes;
}

int64_t infer_row_axes(InferContext& c) {
  const int64_t dims = c.attrs.integer("dims");
  if (dims < 1 || dims > c.rank(0))
    c.fail("dims " + std::to_string(dims) + " is not between 1 and the rank, " + std::to_string(c.rank(0)));
  return dims;
}

void check_row_parameter(InferContext& c, size_t i, size_t like, int64_t dims, std::string name) {
  c.same_dtype(like, i);
  if (name.empty()) name = c.op.inputs()[i].name;
  const int64_t lead = c.rank(like) - dims;
  if (c.rank(i) != dims)
    c.fail(name + " has rank " + std::to_string(c.rank(i)) + ", the normalised axes are " +
           std::to_string(dims));
  for (int64_t d = 0; d < dims; ++d)
    c.same(c.shape(i)[d], c.shape(like)[lead + d],
           "axis " + std::to_string(d) + " of " + name + " is {a}, the normalised axis is {b}");
}

void check_row_values(InferContext& c, size_t i, size_t like, int64_t dims, std::string name) {
  if (name.empty()) name = c.op.inputs()[i].name;
  const DType want = row_dtype(c.dtype(like));
  if (c.dtype(i) != want)
    c.fail(name + " must be " + std::string(to_string(want)) + ", got " + std::string(to_string(c.dtype(i))));
  const int64_t lead = c.rank(like) - dims;
  if (c.rank(i) != lead)
    c.fail(name + " has rank " + std::to_string(c.rank(i)) + ", the rows form " + std::to_string(lead) +
           " axes");
  for (int64_t d = 0; d < lead; ++d)
    c.same(c.shape(i)[d], c.shape(like)[d],
           "axis " + std::to_string(d) + " of " + name + " is {a}, the rows' is {b}");
}

void check_channel_parameter(InferContext& c, size_t i, DType dtype) {
  const std::string& name = c.op.inputs()[i].name;
  if (c.rank(0) < 2)
    c.fail("x has rank " + std::to_string(c.rank(0)) + ", it needs a batch and a channel axis");
  if (c.dtype(i) != dtype)
    c.fail(name + " must be " + std::string(to_string(dtype)) + ", got " +
           std::string(to_string(c.dtype(i))));
  if (c.rank(i) != 1) c.fail(name + " must have rank 1, got " + std::to_string(c.rank(i)));
  c.same(c.shape(i)[0], c.shape(0)[1], name + " has {a} elements for {b} channels");
}

void check_eps(InferContext& c) {
  const double eps = c.attrs.number("eps");
  if (!(eps >= 0)) c.fail("eps " + std::to_string(eps) + " is negative");
}

Tensor gamma_or_ones(const Tensor& gamma, const Tensor& beta, Source source) {
  if (gamma.defined() || !beta.defined()) return gamma;
  return full(beta.shape(), 1.0, beta.dtype(), source);
}

Tensors norm_gradients(const GradArgs& a, const char* op, const Tensors& statistics, const Attrs& attrs) {
  Tensors grads(a.in.size());
  if (!a.grad[0].defined()) return grads;
  Tensors in{a.grad[0], a.in[0]};
  in.insert(in.end(), statistics.begin(), statistics.end());
  if (a.in.size() > 1) in.push_back(a.in[1]);
  const Tensors back = apply(op, in, attrs);
  std::copy_n(back.begin(), grads.size(), grads.begin());
  return grads;
}

Tensor through_row_statistics(const Tensor& x, int64_t dims, const Tensor& mean, const Tensor& rstd,
                              const Tensor& dmean, const Tensor& drstd) {
  const Tensor n = reduced_count(x, last_axes(x.rank(), dims));
  Tensor out;
  if (dmean.defined()) out = with_trailing_ones(dmean, dims) / n + zeros_like(x);
  if (drstd.defined()) {
    const Tensor slope = with_trailing_ones(drstd * rstd * rstd * rstd, dims) / n;
    out = add_defined(out, slope * (mean.defined() ? with_trailing_ones(mean, dims) - x : -x));
  }
  return out;
}

Tensor to_row_type(const Tensor& x) { return is_half(x.dtype()) ? cast(x, DType::f32) : x; }

Tensor add_defined(const Tensor& a, const Tensor& b) {
  if (!a.defined()) return b;
  return b.defined() ? a + b : a;
}

Tensor or_zeros(const Tensor& gradient, const Tensor& out) {
  return gradient.defined() ? gradient : zeros_like(out);
}

}  // namespace fovea
