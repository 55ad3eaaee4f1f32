#pragma once

#include <string>

#include "graph/build/tensor.h"

namespace fovea {

/// With d = x - target: d^2 / 2 where |d| <= delta, delta (|d| - delta / 2) beyond (Huber 1964), elementwise.
/// delta > 0. reduction: mean, sum or none.
Tensor huber_loss(const Arg& x, const Tensor& target, double delta = 1,
                  const std::string& reduction = "mean");

/// huber_loss / beta with delta = beta.
Tensor smooth_l1_loss(const Arg& x, const Tensor& target, double beta = 1,
                      const std::string& reduction = "mean");

}  // namespace fovea
