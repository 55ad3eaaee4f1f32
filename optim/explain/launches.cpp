#include "optim/explain/launches.h"

#include <algorithm>
#include <set>

#include "graph/ir/op.h"

namespace fovea {

void for_each_step(const Plan& plan, const std::function<void(const PlanStep&, bool)>& fn) {
  std::vector<const Plan*> open{&plan};
  for (size_t i = 0; i < open.size(); ++i)
    for (const PlanStep& step : open[i]->steps) {
      fn(step, i > 0);
      for (const auto& body : step.bodies) open.push_back(body.get());
    }
}

std::vector<std::string> forward_ops(const std::string& region) {
  if (region == "map") return {"fused_map"};
  return {region};
}

std::vector<std::string> backward_ops(const std::string& region) {
  std::vector<std::string> out;
  for (const std::string& op : forward_ops(region))
    for (const char* ending : {"_backward", "_gradient"})
      if (lookup_op(op + ending)) out.push_back(op + ending);
  return out;
}

int count_launches(const Plan& plan, const std::vector<std::string>& names) {
  int count = 0;
  for_each_step(plan, [&](const PlanStep& step, bool) {
    for (const std::string& name : names)
      if (step.op == name || step.kernel == name) {
        ++count;
        break;
      }
  });
  return count;
}

bool asks_for_gradient(const Module& module, const std::string& function) {
  std::vector<const Graph*> open{&module.function(function)};
  std::set<const Graph*> seen{open[0]};
  while (!open.empty()) {
    const Graph& graph = *open.back();
    open.pop_back();
    for (const Node& node : graph.nodes) {
      if (node.op->name() == "vjp") return true;
      for (const auto& [name, value] : node.attrs)
        if (const FunctionRef* ref = std::get_if<FunctionRef>(&value)) {
          const auto at = module.functions.find(ref->name);
          if (at != module.functions.end() && seen.insert(at->second.get()).second)
            open.push_back(at->second.get());
        }
    }
  }
  return false;
}

}  // namespace fovea
