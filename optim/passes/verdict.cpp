#include "optim/passes/verdict.h"

#include <utility>

#include "graph/ir/op.h"

namespace fovea {

void record(PassContext& context, const char* region, const Graph& graph, const Node& node, NodeId id,
            const Verdict& verdict, const Dim& saved) {
  if (!context.records) return;
  FusionRecord r;
  r.region = region;
  r.fused = verdict.reason == Reason::none;
  r.reason = verdict.reason;
  r.sentence = verdict.sentence;
  r.nearest = verdict.nearest;
  r.function = graph.name;
  r.node = node.op->name() + "#" + std::to_string(id);
  r.scope = context.module->scopes[node.scope];
  r.source = node.source;
  r.saves = saved.str();
  context.records->push_back(std::move(r));
}

}  // namespace fovea
