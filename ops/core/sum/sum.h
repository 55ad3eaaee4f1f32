#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Sum over `axes` (all of them where empty); negative axes count from the end. keepdims leaves size-1 axes.
/// f16 and bf16 accumulate in f32; integers wrap around.
Tensor sum(const Arg& x, std::vector<int64_t> axes = {}, bool keepdims = false);

}  // namespace fovea
