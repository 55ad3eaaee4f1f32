#pragma once

#include <vector>

#include "graph/build/tensor.h"

namespace fovea {

/// Axis i of the result is axis axes[i] of `x`.
Tensor permute(const Arg& x, std::vector<int64_t> axes);
/// Exchanges axes `a` and `b`.
Tensor transpose(const Arg& x, int64_t a, int64_t b);
/// Moves one axis to another place; the others keep their order.
Tensor move_axis(const Arg& x, int64_t from, int64_t to);

}  // namespace fovea
