#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// The lower triangle of the matrices in the last two axes, zeros elsewhere. diagonal > 0 moves the border to
/// the right.
Tensor tril(const Arg& x, int64_t diagonal = 0);

}  // namespace fovea
