#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Variance over `axes` (all where empty): sum (x - mean)^2 / (n - correction). correction = 1 estimates the
/// variance of the population the values were drawn from. Half types compute in f32.
Tensor var(const Arg& x, std::vector<int64_t> axes = {}, int64_t correction = 0, bool keepdims = false);

}  // namespace fovea
