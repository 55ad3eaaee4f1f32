#pragma once

#include <string>

#include "graph/build/tensor.h"

namespace fovea {

/// |x - target|, elementwise. reduction: mean, sum or none.
Tensor l1_loss(const Arg& x, const Tensor& target, const std::string& reduction = "mean");

}  // namespace fovea
