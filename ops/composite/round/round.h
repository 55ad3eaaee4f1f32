#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// x rounded to the nearest integer, ties to the even one, elementwise. Its gradient is 0.
Tensor round(const Arg& x);

}  // namespace fovea
