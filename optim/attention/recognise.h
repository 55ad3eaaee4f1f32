// The attention recogniser: plain operations that are attention by their algebra become one node.
#pragma once

#include <memory>

#include "optim/rewrite/pass.h"

namespace fovea {

/// Replaces every attention written in plain operations by an `attention` node and records every candidate.
/// Returns nullptr where there is none. Costs one scan where there is no exponential.
std::shared_ptr<Graph> recognise_attention(const Graph& graph, PassContext& context);

inline const std::vector<const char*> kAttentionRules = {"attention.softmax", "attention.combine"};

}  // namespace fovea
