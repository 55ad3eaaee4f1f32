// Regions: neighbouring pointwise ops over the same elements become one pass over memory.
#pragma once

#include "optim/rewrite/pass.h"

namespace fovea {

/// Groups pointwise nodes of one shape (activations and their gradients, dropout, masks, casts, gates, sums
/// of gradients) into fused_map nodes, sums over the leading or the last axes of what they make included. A
/// value that is needed elsewhere, too, is one more result. Linear in the size of the graph; no group holds
/// two ends of a path that leaves it.
std::shared_ptr<Graph> fuse_regions(const Graph& graph, PassContext& context);
/// The same, with every group of at least two nodes, whether it pays or not.
std::shared_ptr<Graph> fuse_all_regions(const Graph& graph, PassContext& context);
inline const std::vector<const char*> kRegionRules = {"fuse_map"};

}  // namespace fovea
