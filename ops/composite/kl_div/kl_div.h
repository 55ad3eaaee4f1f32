#pragma once

#include <string>

#include "graph/build/tensor.h"

namespace fovea {

/// t (log t - x), elementwise, 0 where t is 0: the Kullback-Leibler divergence from log-probabilities x to
/// the distribution t. With log_target the target is given as logarithms, too. reduction: mean, sum, none or
/// batchmean (the sum divided by the size of axis 0).
Tensor kl_div(const Arg& x, const Tensor& target, const std::string& reduction = "mean",
              bool log_target = false);

}  // namespace fovea
