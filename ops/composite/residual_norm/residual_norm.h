#pragma once

#include <string>

#include "graph/build/tensor.h"

namespace fovea {

/// How residual_norm normalises, and what becomes of the branch first.
struct ResidualNormOptions {
  std::string norm = "layer";  ///< "layer" or "rms"
  double eps = 1e-5;
  int64_t dims = 1;  ///< how many last axes are normalised together
  double p = 0;      ///< the branch's dropout; above 0 it needs a key, i64 [2]
  Tensor key = {};
};

/// The sum and what its norm makes of it.
struct ResidualNorm {
  Tensor normed, sum;
};

/// sum = x + dropout(branch), normed = layer_norm(sum) gamma + beta, or rms_norm(sum) gamma: what stands
/// between the layers of a transformer, in one pass over memory. gamma and beta have the shape of the
/// normalised axes; either may be undefined. The compiler makes this op from the plain operations.
ResidualNorm residual_norm(const Arg& x, const Tensor& branch, const Tensor& gamma = {},
                           const Tensor& beta = {}, const ResidualNormOptions& options = {});

}  // namespace fovea
