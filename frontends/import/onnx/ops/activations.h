// Activations that exporters write as products.
#pragma once

#include "graph/build/tensor.h"

namespace fovea::onnx {

/// a * b; as silu(x) or gelu(x) where it is x sigmoid(x), or x (1 + erf(x / sqrt 2)) / 2 in any order.
/// Kernels know these.
Tensor product_of(const Tensor& a, const Tensor& b);

}  // namespace fovea::onnx
