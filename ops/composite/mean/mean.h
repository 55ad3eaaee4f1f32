#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Mean over `axes` (all of them where empty); negative axes count from the end. Integers and bools give f32,
/// half types compute in f32. No elements: NaN.
Tensor mean(const Arg& x, std::vector<int64_t> axes = {}, bool keepdims = false);

}  // namespace fovea
