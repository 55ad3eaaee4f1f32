// What ops that move elements by position share.
#pragma once

#include <cstdint>

#include "framework/backend/kernel.h"
#include "graph/build/tensor.h"
#include "graph/ir/op.h"

namespace fovea {

/// Attribute `name` as numbers, whether it is a list of integers (in kernels) or a concrete Shape.
Dims sizes_of(const Attrs& attrs, std::string_view name);

/// `axis` of a tensor of `rank` as a non-negative number; InvalidArgument beginning with `op` where it is
/// none.
int64_t normal_axis(std::string_view op, int64_t axis, int64_t rank);

/// Reads element `at` of an i32 or i64 operand.
inline int64_t index_at(DType dtype, const void* indices, int64_t at) {
  return dtype == DType::i32 ? static_cast<const int32_t*>(indices)[at]
                             : static_cast<const int64_t*>(indices)[at];
}

/// Throws "gather: index 7 at position 3 is out of range for axis of size 5".
[[noreturn]] void index_error(std::string_view op, int64_t index, int64_t position, int64_t size);

inline void check_index(std::string_view op, int64_t index, int64_t position, int64_t size) {
  if (index < 0 || index >= size) index_error(op, index, position, size);
}

/// take_along_axis in terms of plain gathers, which see x as one long row: the position in it of each element
/// that is read, [before, size of indices along the axis, behind]. `shape` is x's.
Tensor flat_positions(const Shape& shape, const Tensor& indices, int64_t axis);
/// Checks that `indices` (operand j) has the shape of operand i but for `axis`.
void infer_along_axis(InferContext& c, size_t i, size_t j, int64_t axis);

}  // namespace fovea
