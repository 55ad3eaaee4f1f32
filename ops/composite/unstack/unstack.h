#pragma once

#include <vector>

#include "graph/build/tensor.h"

namespace fovea {

/// The slices of `x` along `axis`, without that axis: unbind as one node, whose gradient is one stack instead
/// of a sum of padded pieces. The size of the axis must be known.
std::vector<Tensor> unstack(const Arg& x, int64_t axis = 0);

}  // namespace fovea
