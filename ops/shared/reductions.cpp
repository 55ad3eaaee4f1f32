#include "ops/shared/reductions.h"

#include "ops/core/broadcast_to/broadcast_to.h"
#include "ops/core/cast/cast.h"
#include "ops/core/extent/extent.h"
#include "ops/core/neg/neg.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/sub/sub.h"

namespace fovea {

Shape reduced_shape(const Shape& shape, const Ints& axes, bool keepdims) {
  Shape out;
  for (size_t d = 0; d < shape.size(); ++d) {
    bool reduced = false;
    for (int64_t a : axes) reduced = reduced || a == static_cast<int64_t>(d);
    if (!reduced)
      out.push_back(shape[d]);
    else if (keepdims)
      out.push_back(1);
  }
  return out;
}

void infer_reduction(InferContext& c) {
  const Ints axes = c.axes("axes", c.rank(0));
  c.output(c.dtype(0), reduced_shape(c.shape(0), axes, c.attrs.flag("keepdims")));
}

void check_not_empty(const InferContext& c, int64_t axis, const char* extreme) {
  if (c.shape(0)[axis] == Dim(0))
    c.fail("axis " + std::to_string(axis) + " has size 0: there is no " + extreme + " element");
}

Tensor reduced_count(const Tensor& x, const Ints& axes) {
  Shape sizes;
  for (int64_t a : axes) sizes.push_back(x.dim(a));
  return extent(sizes, x.dtype());
}

Tensor widen_half(const Tensor& x) {
  return x.dtype() == DType::f16 || x.dtype() == DType::bf16 ? cast(x, DType::f32) : x;
}

Tensor mirrored(const Tensor& x) {
  // -1 - x cannot overflow, as -x would for the lowest integer.
  if (is_floating(x.dtype())) return neg(x);
  return sub(x.dtype() == DType::u8 ? 255 : -1, x);
}

Tensor expand_reduced(const Tensor& y, const Tensor& like, const Attrs& attrs) {
  const Shape shape = like.shape();
  Tensor kept = y;
  if (!attrs.flag("keepdims")) kept = reshape(y, reduced_shape(shape, attrs.ints("axes"), true));
  return broadcast_to(kept, shape);
}

ReductionLoops::ReductionLoops(const KernelRequest& r) {
  const Ints& axes = r.attrs.ints("axes");
  const Ints kept_axes = other_axes(r.in[0].rank(), axes);
  kept = StridedLoop<1>(pick(r.in[0].shape, kept_axes), {pick(r.in[0].strides, kept_axes)});
  reduced = StridedLoop<1>(pick(r.in[0].shape, axes), {pick(r.in[0].strides, axes)});
}

}  // namespace fovea
