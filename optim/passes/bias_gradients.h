// Sums over rows, as gradients of biases are, made while what is summed is computed.
#pragma once

#include "optim/rewrite/pass.h"

namespace fovea {

inline const std::vector<const char*> kBiasGradientsRules = {"bias_of_activation", "bias_of_residual"};

/// sum(activation_backward(x, g)) over all axes but the last becomes a second result of
/// bias_activation_backward; the same sum of a branch's gradient becomes one of residual_norm_backward. What
/// is summed is not read again.
std::shared_ptr<Graph> fuse_bias_gradients(const Graph& graph, PassContext& context);

}  // namespace fovea
