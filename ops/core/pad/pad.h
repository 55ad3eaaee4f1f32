#pragma once

#include <vector>

#include "graph/build/tensor.h"

namespace fovea {

/// `x` with `value` around and between its elements: low[d] elements before axis d, high[d] behind,
/// interior[d] between any two. Negative low and high crop what the interior padding left.
Tensor pad(const Arg& x, Shape low, Shape high, std::vector<int64_t> interior = {}, double value = 0);

}  // namespace fovea
