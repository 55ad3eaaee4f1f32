// Lowering: an expanded graph and concrete argument types in, a plan out.
#pragma once

#include <memory>
#include <vector>

#include "framework/runtime/plan.h"
#include "graph/ir/graph.h"
#include "optim/lower/program.h"

namespace fovea {

/// Values for the graph's symbols, from matching its declared argument types against `in`. InvalidArgument
/// naming the argument, the axis and both numbers where they do not match; checks the graph's guards.
Bindings bind_symbols(const Graph& graph, const std::vector<PlanOperand>& in);

/// Makes the plan of `graph` (calls expanded) for arguments `in`. Ops the backend has no kernel for are
/// decomposed; what remains without one is an Unsupported error with the backend's sentence.
std::shared_ptr<const Plan> lower(const std::shared_ptr<Module>& module, const Graph& graph,
                                  const std::vector<PlanOperand>& in, const CompileOptions& options);

}  // namespace fovea
