#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// y = x weight^T + bias: x [..., in], weight [out, in], bias [out] (may be left out) -> [..., out]. Leading
/// axes are rows of one product, forwards and in the gradients.
Tensor linear(const Arg& x, const Tensor& weight, const Tensor& bias = {});

}  // namespace fovea
