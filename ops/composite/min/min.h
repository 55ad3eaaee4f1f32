#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Smallest element over `axes` (all of them where empty); negative axes count from the end. NaN wins.
/// Elements that tie share the gradient equally. An axis of size 0 is an error.
Tensor min(const Arg& x, std::vector<int64_t> axes = {}, bool keepdims = false);

}  // namespace fovea
