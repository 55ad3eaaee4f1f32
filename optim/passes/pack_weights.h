// Products with constant weights.
#pragma once

#include "optim/rewrite/pass.h"

namespace fovea {

/// A product with a constant matrix reads it in panels, packed once for all plans; a bias, an activation and
/// a residual that nobody else sees the operand of ride on it (packed_linear). Sums are rounded in another
/// order.
std::shared_ptr<Graph> pack_weights(const Graph& graph, PassContext& context);
inline const std::vector<const char*> kPackWeightsRules = {"pack_weight", "packed_bias", "packed_activation",
                                                           "packed_residual"};

}  // namespace fovea
