#include "ops/shared/indexing.h"

#include "framework/base/error.h"
#include "ops/core/add/add.h"
#include "ops/core/cast/cast.h"
#include "ops/core/extent/extent.h"
#include "ops/core/iota/iota.h"
#include "ops/core/less/less.h"
#include "ops/core/logical_and/logical_and.h"
#include "ops/core/mul/mul.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/where/where.h"

namespace fovea {

Dims sizes_of(const Attrs& attrs, std::string_view name) {
  const AttrValue* value = attrs.find(name);
  if (value && std::holds_alternative<Ints>(*value)) return std::get<Ints>(*value);
  return evaluate(attrs.shape(name), {});
}

int64_t normal_axis(std::string_view op, int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank)
    invalid(std::string(op) + ": axis " + std::to_string(axis) + " is out of range for rank " +
            std::to_string(rank));
  return axis < 0 ? axis + rank : axis;
}

void index_error(std::string_view op, int64_t index, int64_t position, int64_t size) {
  invalid(std::string(op) + ": index " + std::to_string(index) + " at position " + std::to_string(position) +
          " is out of range for axis of size " + std::to_string(size));
}

Tensor flat_positions(const Shape& shape, const Tensor& indices, int64_t axis) {
  const Dim before = product(Shape(shape.begin(), shape.begin() + axis));
  const Dim behind = product(Shape(shape.begin() + axis + 1, shape.end()));
  const Tensor at = cast(reshape(indices, {before, indices.dim(axis), behind}), DType::i64);
  const Tensor outer = iota({before, 1, 1}, 0) * extent(shape[axis] * behind);
  const Tensor flat = outer + at * extent(behind) + iota({1, 1, behind}, 2);
  // An index out of range stays one: it must not reach into another row.
  return where(logical_and(less(-1, at), less(at, extent(shape[axis]))), flat, -1);
}

void infer_along_axis(InferContext& c, size_t i, size_t j, int64_t axis) {
  if (c.rank(i) != c.rank(j))
    c.fail("indices have rank " + std::to_string(c.rank(j)) + ", x has " + std::to_string(c.rank(i)));
  for (int64_t d = 0; d < c.rank(i); ++d)
    if (d != axis)
      c.same(c.shape(j)[d], c.shape(i)[d], "axis " + std::to_string(d) + " of the indices is {a}, of x {b}");
}

}  // namespace fovea
