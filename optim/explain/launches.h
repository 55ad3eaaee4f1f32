// Which launches of a plan run a fused region.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "framework/runtime/plan.h"
#include "graph/ir/graph.h"

namespace fovea {

/// Calls fn(step, inside) for every launch of the plan and of the bodies of its loops and branches; `inside`
/// says that it is one of the latter.
void for_each_step(const Plan& plan, const std::function<void(const PlanStep&, bool)>& fn);

/// The names of launches that run `region` forward, and those that run its gradient.
std::vector<std::string> forward_ops(const std::string& region);
std::vector<std::string> backward_ops(const std::string& region);

/// Launches of the plan that run the region: by op, or by kernel where the op is a general one.
int count_launches(const Plan& plan, const std::vector<std::string>& names);

/// True where the function, or one that it calls, asks for a gradient.
bool asks_for_gradient(const Module& module, const std::string& function);

}  // namespace fovea
