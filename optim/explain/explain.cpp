#include "optim/explain/explain.h"

#include <algorithm>
#include <map>
#include <set>

#include "framework/backend/backend.h"
#include "framework/base/error.h"
#include "optim/explain/launches.h"
#include "optim/explain/words.h"

namespace fovea {
namespace {

// The launches of one kind that no candidate has claimed yet.
class Launches {
 public:
  Launches(const Program& program, const Plan& plan, const std::vector<std::string>& ops)
      : program_(program) {
    for_each_step(plan, [&](const PlanStep& step, bool inside) {
      if (std::find(ops.begin(), ops.end(), step.op) != ops.end())
        open_.push_back({&step, scope(step, inside)});
    });
  }

  /// The one that a candidate became: of its module and line, else of its module or line.
  const PlanStep* claim(const FusionRecord& r) {
    size_t best = open_.size();
    int most = 0;
    for (size_t i = 0; i < open_.size(); ++i) {
      const Source& at = open_[i].step->source;
      const bool same_line =
          *at.file && at.line == r.source.line && std::string_view(at.file) == r.source.file;
      const int score = 2 * (!r.scope.empty() && open_[i].scope == r.scope) + same_line;
      if (score > most) most = score, best = i;
    }
    return take(best);
  }
  const PlanStep* claim_first() { return take(open_.empty() ? open_.size() : 0); }
  size_t size() const { return open_.size(); }

 private:
  struct Open {
    const PlanStep* step;
    std::string scope;
  };
  // Nodes inside loops are those of another graph.
  std::string scope(const PlanStep& step, bool inside) const {
    const auto& nodes = program_.graph().nodes;
    if (inside || step.node < 0 || static_cast<size_t>(step.node) >= nodes.size()) return {};
    return program_.module()->scopes[static_cast<size_t>(nodes[static_cast<size_t>(step.node)].scope)];
  }
  const PlanStep* take(size_t i) {
    if (i >= open_.size()) return nullptr;
    const PlanStep* step = open_[i].step;
    open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i));
    return step;
  }

  const Program& program_;
  std::vector<Open> open_;
};

std::string node_of(const Explanation& e) { return e.record.function + "/" + e.record.node; }

void match(const Program& program, const Plan& plan, const std::string& region,
           std::vector<Explanation>& all) {
  for (const bool backward : {false, true}) {
    Launches launches(program, plan, backward ? backward_ops(region) : forward_ops(region));
    std::vector<Explanation*> left;
    for (Explanation& e : all) {
      if (!e.record.fused || e.record.region != region) continue;
      const PlanStep*& step = backward ? e.backward : e.forward;
      step = launches.claim(e.record);
      if (!step) left.push_back(&e);
    }
    // What has neither a module nor a line is matched by its order; candidates around one node may have
    // become one, and then share its launch.
    std::set<std::string> nodes;
    for (const Explanation* e : left) nodes.insert(node_of(*e));
    const bool one_each = left.size() == launches.size(), one_a_node = nodes.size() == launches.size();
    if (!one_each && !one_a_node) continue;
    std::map<std::string, const PlanStep*> shared;
    for (Explanation* e : left) {
      const PlanStep*& step = shared[node_of(*e)];
      if (one_each || !step) step = launches.claim_first();
      (backward ? e->backward : e->forward) = step;
    }
  }
}

// The plan that was asked for, or the one that was made last.
struct ChosenPlan {
  std::shared_ptr<const Plan> owned;
  const Plan* plan;
  ChosenPlan(const Program& program, const Plan* given) : plan(given) {
    if (!given) owned = program.last_plan(), plan = owned.get();
  }
};

}  // namespace

std::vector<Explanation> explanations(const Program& program, const Plan* plan) {
  std::vector<Explanation> all;
  std::set<std::string> regions;
  for (const FusionRecord& r : program.records()) {
    all.push_back({r, nullptr, nullptr});
    if (r.fused) regions.insert(r.region);
  }
  if (plan)
    for (const std::string& region : regions) match(program, *plan, region, all);
  return all;
}

std::string explain(const Program& program, const Plan* plan) {
  const ChosenPlan chosen(program, plan);
  return explanation_text(program.graph().name, explanations(program, chosen.plan), chosen.plan);
}

std::string explain_json(const Program& program, const Plan* plan) {
  const ChosenPlan chosen(program, plan);
  return explanation_json(explanations(program, chosen.plan), chosen.plan, program.graph().name);
}

void expect_fused(const Program& program, const std::string& region, int count, const Bindings& sizes) {
  std::shared_ptr<const Plan> plan = sizes.empty() ? program.last_plan() : nullptr;
  if (!plan) plan = program.plan_for(sizes);
  std::vector<std::string> forward = forward_ops(region), backward = backward_ops(region);
  const int forwards = count_launches(*plan, forward), backwards = count_launches(*plan, backward);
  const bool trains = !backward.empty() && program.differentiates();
  // Under a memory budget the backward pass may run a forward kernel again.
  const bool right = trains ? backwards == count && forwards >= count : forwards == count;
  if (right) return;
  std::string found = std::to_string(forwards) + " forward";
  if (trains) found += " and " + std::to_string(backwards) + " backward";
  invalid("expected " + std::to_string(count) + " fused kernels for '" + region + "'" +
          (trains ? ", forward and backward" : "") + "; the plan has " + found + "\n" +
          explain(program, plan.get()));
}

}  // namespace fovea
