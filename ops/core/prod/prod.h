#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Product over `axes` (all of them where empty); negative axes count from the end. Integers wrap around. The
/// gradient is exact at zeros and takes memory quadratic in the reduced size.
Tensor prod(const Arg& x, std::vector<int64_t> axes = {}, bool keepdims = false);

}  // namespace fovea
