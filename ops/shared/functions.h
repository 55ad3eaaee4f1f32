// Helpers of ops that name functions.
#pragma once

#include <string>
#include <vector>

#include "graph/build/builder.h"
#include "ops/core/full/full.h"

namespace fovea {

/// The gradient of calling `function` with a.in, given a.grad: one "vjp" node, which runs the function again.
Tensors function_gradient(const GradArgs& a, const std::string& function);

}  // namespace fovea
