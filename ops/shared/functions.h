// Helpers of ops that name functions.
#pragma once

#include <string>
#include <vector>

#include "graph/build/builder.h"

namespace fovea {

/// A tensor of zeros of x's type.
Tensor zeros_like(const Tensor& x);

/// The gradient of calling `function` with a.in, given a.grad: one "vjp" node, which runs the function again.
Tensors function_gradient(const GradArgs& a, const std::string& function);

}  // namespace fovea
