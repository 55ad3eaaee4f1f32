// Algebra: local rules that leave every value as it is, NaN, infinities and the sign of zero included.
#pragma once

#include "optim/rewrite/pass.h"

namespace fovea {

/// Applies the rules below to each node in turn. Before gradients are expanded only those that leave
/// gradients as they are, too.
std::shared_ptr<Graph> algebra(const Graph& graph, PassContext& context);
const std::vector<const char*>& algebra_rules();

}  // namespace fovea
