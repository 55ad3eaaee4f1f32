// The sum between two layers of a transformer, fused with the norm that reads it.
#pragma once

#include "optim/rewrite/pass.h"

namespace fovea {

inline const std::vector<const char*> kResidualNormRules = {"residual_layer_norm", "residual_rms_norm",
                                                            "residual_dropout"};

/// layer_norm(x + dropout(branch)) and rms_norm of the same become residual_norm, which also gives the sum
/// where others read it; the dropout may be missing. The way back is one pass, too: it adds the gradient that
/// the sum gets from its other readers. Refused, with a record: half types, a summand that is broadcast, sums
/// that ride on a product with packed weights.
std::shared_ptr<Graph> fuse_residual_norm(const Graph& graph, PassContext& context);

}  // namespace fovea
