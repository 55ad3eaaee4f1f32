#pragma once

#include <string>

#include "graph/build/tensor.h"

namespace fovea {

/// (x - target)^2, elementwise. reduction: mean, sum or none.
Tensor mse_loss(const Arg& x, const Tensor& target, const std::string& reduction = "mean");

}  // namespace fovea
