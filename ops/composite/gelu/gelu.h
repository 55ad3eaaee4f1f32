#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// x Phi(x), Phi the normal distribution function (Hendrycks and Gimpel, 2016). approximate "none":
/// x/2 (1 + erf(x / sqrt 2)); "tanh": x/2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
Tensor gelu(const Arg& x, const std::string& approximate = "none");

}  // namespace fovea
