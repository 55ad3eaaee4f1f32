#pragma once

#include <vector>

#include "graph/build/tensor.h"

namespace fovea {

/// The elements of `x` in row-major order with another shape; one size may be -1. The sizes' products must
/// agree.
Tensor reshape(const Arg& x, Shape shape);
/// Drops axes of size 1: the ones given, or all of them.
Tensor squeeze(const Arg& x, std::vector<int64_t> axes);
Tensor squeeze(const Arg& x);
/// Puts an axis of size 1 at `axis` of the result.
Tensor unsqueeze(const Arg& x, int64_t axis);
/// NumPy's name for unsqueeze.
inline Tensor expand_dims(const Arg& x, int64_t axis) { return unsqueeze(x, axis); }
/// Joins axes first to last (inclusive) into one.
Tensor flatten(const Arg& x, int64_t first = 0, int64_t last = -1);

}  // namespace fovea
