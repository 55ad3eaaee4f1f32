// Loss straight from the rows that a projection to logits reads.
#pragma once

#include "optim/rewrite/pass.h"

namespace fovea {

inline const std::vector<const char*> kLinearCrossEntropyRules = {"linear_cross_entropy"};

/// cross_entropy(linear(x, weight, bias), labels) becomes linear_cross_entropy, which never holds all logits.
/// Also where the product is written as matmul and add, and where logits are reshaped in between. Refused,
/// with a record: logits that are read elsewhere, few classes, a loss for each row, half types.
std::shared_ptr<Graph> fuse_linear_cross_entropy(const Graph& graph, PassContext& context);

}  // namespace fovea
