// Attention nodes with equal probabilities become one: their values lie side by side.
#pragma once

#include <memory>

#include "optim/rewrite/pass.h"

namespace fovea::match {

/// The graph with such nodes combined; the same graph where there are none.
std::shared_ptr<Graph> combined(std::shared_ptr<Graph> graph, PassContext& context);

}  // namespace fovea::match
