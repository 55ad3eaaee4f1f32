#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// x itself, through which no gradient passes. Takes no time and no memory.
Tensor stop_gradient(const Arg& x);

}  // namespace fovea
