#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// True where an element over `axes` (all axes where empty) is true; false for no elements. Numbers count as
/// true unless 0.
Tensor any(const Arg& x, std::vector<int64_t> axes = {}, bool keepdims = false);

}  // namespace fovea
