#pragma once

#include <string>

#include "graph/build/tensor.h"

namespace fovea {

/// -x[label] for each row of log-probabilities x [..., V] and labels [...] (i32 or i64). Rows whose label is
/// `ignore_index` have loss 0 and do not count in the mean. A label outside [0, V) is an error. reduction:
/// mean, sum or none.
Tensor nll_loss(const Arg& x, const Tensor& labels, int64_t ignore_index = -100,
                const std::string& reduction = "mean");

}  // namespace fovea
