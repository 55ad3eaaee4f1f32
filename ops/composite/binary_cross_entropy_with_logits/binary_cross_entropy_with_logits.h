#pragma once

#include <string>

#include "graph/build/tensor.h"

namespace fovea {

/// -t log s(x) - (1 - t) log(1 - s(x)) with the logistic function s, as softplus(x) - x t, elementwise.
/// `targets` has the shape and type of `logits`. reduction: mean, sum or none.
Tensor binary_cross_entropy_with_logits(const Arg& logits, const Tensor& targets,
                                        const std::string& reduction = "mean");

}  // namespace fovea
