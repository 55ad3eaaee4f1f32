#pragma once

#include "graph/build/tensor.h"
#include "ops/core/sort/sort.h"

namespace fovea {

/// The `k` largest (or smallest) elements along `axis`, best first, and where they stood. Of equal elements
/// the first ones are taken. NaN counts as largest.
Sorted top_k(const Arg& x, int64_t k, int64_t axis = -1, bool largest = true);

}  // namespace fovea
