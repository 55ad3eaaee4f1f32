#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Values in order, and where they stood.
struct Sorted {
  Tensor values;
  Tensor indices;  ///< i64: where in the operand each value stood
};

/// Sorts along `axis`; equal elements keep their order. NaN counts as largest.
Sorted sort(const Arg& x, int64_t axis = -1, bool descending = false);
/// The indices of sort().
Tensor argsort(const Arg& x, int64_t axis = -1, bool descending = false);

}  // namespace fovea
