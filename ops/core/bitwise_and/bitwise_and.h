#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// The bits that a and b have in common, elementwise, of integers in two's complement, with NumPy
/// broadcasting and promotion.
Tensor bitwise_and(const Arg& a, const Arg& b);
/// The bits that a or b has.
Tensor bitwise_or(const Arg& a, const Arg& b);
/// The bits that only one of them has.
Tensor bitwise_xor(const Arg& a, const Arg& b);
/// Every bit of x turned over.
Tensor bitwise_not(const Arg& x);

}  // namespace fovea
