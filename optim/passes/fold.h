// Constant folding.
#pragma once

#include "optim/rewrite/pass.h"

namespace fovea {

/// Computes what depends on constants only, on the backend that will run the graph, unless the result is much
/// larger than its parts. What is one number everywhere stays an op "full"; positions (iota) are not folded,
/// so that masks keep saying what they mean.
std::shared_ptr<Graph> fold_constants(const Graph& graph, PassContext& context);
inline const std::vector<const char*> kFoldRules = {"fold_constant", "fold_uniform"};

}  // namespace fovea
