// The lanes of tensors along one axis: what cumulative ops, sorting and searching go through one by one.
#pragma once

#include "ops/shared/strided_loop.h"

namespace fovea {

/// `loop` visits the first element of each lane; element i of a lane is i * step[k] further on in operand k.
/// Operands may differ in their size at `axis`; `length` is that of `shape`.
template <int N>
struct Lanes {
  Lanes(int64_t axis, const Dims& shape, const std::array<Dims, N>& strides) : length(shape[axis]) {
    const auto kept = other_axes(static_cast<int64_t>(shape.size()), {axis});
    std::array<Dims, N> rest;
    for (int k = 0; k < N; ++k) {
      rest[k] = pick(strides[k], kept);
      step[k] = strides[k][axis];
    }
    loop = StridedLoop<N>(pick(shape, kept), rest);
  }
  int64_t count() const { return loop.size(); }

  StridedLoop<N> loop;
  int64_t length;
  std::array<int64_t, N> step;
};

}  // namespace fovea
