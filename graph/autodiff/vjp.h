// Reverse-mode differentiation as a graph transform. The rules live with the ops.
#pragma once

#include <memory>
#include <vector>

#include "graph/build/builder.h"

namespace fovea {

/// Appends to `builder` the vector-Jacobian product of the nodes it already holds: given the cotangents of
/// `outputs`, the gradients of `wrt`. A gradient that is zero everywhere comes back as an undefined Tensor.
/// Rules: an op's own rule, else Unsupported naming the op (composites without a rule were decomposed
/// before).
std::vector<Tensor> append_vjp(Builder& builder, const std::vector<Tensor>& outputs,
                               const std::vector<Tensor>& cotangents, const std::vector<Tensor>& wrt);

/// Rewrites `function` so that nothing in it refers to gradients: every "vjp" node is replaced by the forward
/// and backward nodes of its function, every "call" by the nodes of its function, innermost first. Returns a
/// new function with all its nodes (control flow keeps its bodies, which are expanded too).
std::shared_ptr<Graph> expand_functions(const std::shared_ptr<Module>& module, const Graph& function);

}  // namespace fovea
