// Common subexpressions: nodes that compute the same become one.
#pragma once

#include "optim/rewrite/pass.h"

namespace fovea {

/// Merges nodes of equal op, attributes and operands (the order of which does not count for sums and
/// products). Random ops, side effects, calls of functions and what checkpointing computes again stay as they
/// are.
std::shared_ptr<Graph> common_subexpressions(const Graph& graph, PassContext& context);
inline const std::vector<const char*> kCommonSubexpressionRules = {"common_subexpression"};

}  // namespace fovea
