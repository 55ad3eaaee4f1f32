// Layout: results are written where and as they are read.
#pragma once

#include "optim/rewrite/pass.h"

namespace fovea {

/// A result of attention or of its gradient that only a permute reads is written in that order, and the
/// permute goes.
std::shared_ptr<Graph> attention_layout(const Graph& graph, PassContext& context);
inline const std::vector<const char*> kAttentionLayoutRules = {"attention_order"};

/// The same, and: a sum of pieces of one tensor, each padded with zeros to its size, is one concatenation.
/// This is how gradients of slices add up. (A -0 in a piece stays -0, where the sum gave 0.)
std::shared_ptr<Graph> layout(const Graph& graph, PassContext& context);
inline const std::vector<const char*> kLayoutRules = {"attention_order", "concat_of_pads"};

}  // namespace fovea
