// Dead code: nodes that neither a result nor a side effect needs.
#pragma once

#include "optim/rewrite/pass.h"

namespace fovea {

/// Drops dead nodes; arguments stay.
std::shared_ptr<Graph> dead_code(const Graph& graph, PassContext& context);
inline const std::vector<const char*> kDeadCodeRules = {"dead_code"};

}  // namespace fovea
