#pragma once

#include <string>

#include "framework/tensor/array.h"
#include "graph/build/tensor.h"

namespace fovea {

/// y = activation(x W + bias) + residual, where W [k, n] comes in panels [ceil(n / 48), k, 48]: column j of W
/// is column j % 48 of panel j / 48, the last one filled up with zeros. x [..., k], bias [n] and residual
/// [..., n] (either may be undefined) give [..., n]. activation: none, relu, gelu or gelu_tanh. The compiler
/// makes this of products with constant weights.
Tensor packed_linear(const Arg& x, const Tensor& panels, int64_t columns, const Tensor& bias = {},
                     const Tensor& residual = {}, const std::string& activation = "none");

/// The panels of a matrix [k, n], which may have any strides.
Array pack_panels(const Array& matrix);

}  // namespace fovea
