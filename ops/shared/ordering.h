// The kernel behind sort and top_k.
#pragma once

#include "framework/backend/kernel.h"

namespace fovea {

/// Outputs 0 and 1 are the first `keep(request)` elements along attribute "axis" in sorted order and their
/// positions (i64). Equal elements stay in order; NaN counts as largest.
void ordering_kernel(Kernel& kernel, int64_t (*keep)(const KernelRequest&),
                     bool (*descending)(const KernelRequest&));

}  // namespace fovea
