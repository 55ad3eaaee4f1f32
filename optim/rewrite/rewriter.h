// Rewriter: how a pass makes its graph. It walks the nodes in order; each is kept, or other values take its
// place. Nothing is copied before the first change, and what nobody reads any more is dropped at the end.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "graph/ir/graph.h"
#include "graph/ir/op.h"
#include "optim/rewrite/pass.h"

namespace fovea {

/// One walk over a graph that replaces values.
class Rewriter {
 public:
  Rewriter(const Graph& graph, PassContext& context) : context_(context), old_(graph) {}
  Rewriter(const Rewriter&) = delete;
  Rewriter& operator=(const Rewriter&) = delete;

  /// Sees node `id` of graph(), whose operands are rewritten already. Returns the values that take the place
  /// of its outputs, or an empty list to keep it. A value it just added is visited in its turn.
  using Visit = std::function<std::vector<Value>(NodeId id)>;
  /// Visits all nodes; the new graph, or nullptr where nothing changed.
  std::shared_ptr<Graph> run(const Visit& visit);

  /// Old nodes as far as they are rewritten, and new ones. References into it end with the next add().
  const Graph& graph() const { return fresh_ ? *fresh_ : old_; }
  const Node& node(NodeId id) const { return graph().nodes[id]; }
  const Node& node(Value v) const { return graph().nodes[v.node]; }
  const TensorType& type(Value v) const { return graph().type(v); }
  PassContext& context() const { return context_; }
  /// The graph as it was given, the node of it whose turn it is, and what became of a value before that node.
  const Graph& old_graph() const { return old_; }
  NodeId old_id() const { return current_; }
  Value mapped(Value old) const;

  /// Adds a checked node behind all others; its first output. The line and scope are those of node `like`.
  Value add(const OpDecl& op, std::vector<Value> inputs, Attrs attrs, NodeId like);

 private:
  void begin();
  NodeId copy(NodeId old);
  std::shared_ptr<Graph> finish();

  PassContext& context_;
  const Graph& old_;
  std::shared_ptr<Graph> fresh_;  ///< null until something changes: ids are the old ones until then
  NodeId current_ = 0;            ///< the old node being visited
  std::vector<NodeId> moved_;     ///< by old node: its new id, or -1 - k for replaced_[k]
  std::vector<std::vector<Value>> replaced_;
};

/// Drops nodes that neither an output nor a side effect needs. Arguments stay. Returns how many went.
int64_t drop_dead_nodes(Graph& graph);

}  // namespace fovea
