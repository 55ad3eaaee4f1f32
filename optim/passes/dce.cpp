#include "optim/passes/dce.h"

#include "optim/rewrite/rewriter.h"

namespace fovea {
namespace {

bool has_dead_nodes(const Graph& graph) {
  std::vector<bool> live(graph.nodes.size(), false);
  for (const Value& v : graph.outputs) live[v.node] = true;
  for (NodeId id : graph.inputs) live[id] = true;
  for (size_t id = graph.nodes.size(); id-- > 0;) {
    if (!live[id] && !graph.nodes[id].op->has_side_effect()) return true;
    for (const Value& v : graph.nodes[id].inputs) live[v.node] = true;
  }
  return false;
}

}  // namespace

std::shared_ptr<Graph> dead_code(const Graph& graph, PassContext& context) {
  if (!has_dead_nodes(graph)) return nullptr;
  auto out = std::make_shared<Graph>(graph);
  context.fired("dead_code", drop_dead_nodes(*out));
  return out;
}

}  // namespace fovea
