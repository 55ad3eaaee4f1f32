#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// x itself, as a node of its own: a place where gradients of x can be asked for.
Tensor identity(const Arg& x);

}  // namespace fovea
