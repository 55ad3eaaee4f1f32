#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// True where x is inf or -inf.
Tensor is_inf(const Arg& x);

}  // namespace fovea
