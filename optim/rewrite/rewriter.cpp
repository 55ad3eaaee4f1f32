#include "optim/rewrite/rewriter.h"

#include <algorithm>
#include <cstring>

#include "framework/base/error.h"

namespace fovea {
namespace {

constexpr int kMostVisits = 16;  // of one value: rules that undo one another end here

}  // namespace

std::shared_ptr<Graph> Rewriter::run(const Visit& visit) {
  const auto count = static_cast<NodeId>(old_.nodes.size());
  for (current_ = 0; current_ < count; ++current_) {
    NodeId id = fresh_ ? copy(current_) : current_;
    std::vector<Value> with;
    for (int times = 0; times < kMostVisits; ++times) {
      const auto known = static_cast<NodeId>(graph().nodes.size());
      std::vector<Value> next = visit(id);
      if (next.empty()) break;
      begin();
      with = std::move(next);
      if (with.size() != 1 || with[0].node < known) break;  // only what was just added is visited again
      id = with[0].node;
    }
    if (with.empty()) continue;
    moved_[current_] = -1 - static_cast<NodeId>(replaced_.size());
    replaced_.push_back(std::move(with));
  }
  return fresh_ ? finish() : nullptr;
}

Value Rewriter::add(const OpDecl& op, std::vector<Value> inputs, Attrs attrs, NodeId like) {
  begin();
  std::vector<TensorType> types;
  types.reserve(inputs.size());
  for (const Value& v : inputs) types.push_back(fresh_->type(v));
  std::vector<Guard> guards;
  std::vector<TensorType> out = op.check(attrs, types, context_.module.get(), &guards);
  const Source source = fresh_->nodes[like].source;
  const int32_t scope = fresh_->nodes[like].scope;
  for (Guard& g : guards) {
    g.source = source;
    fresh_->guards.push_back(std::move(g));
  }
  fresh_->nodes.push_back({&op, std::move(attrs), std::move(inputs), std::move(out), source, scope});
  return {static_cast<NodeId>(fresh_->nodes.size()) - 1, 0};
}

void Rewriter::begin() {
  if (fresh_) return;
  fresh_ = std::make_shared<Graph>();
  fresh_->name = old_.name;
  fresh_->output_names = old_.output_names;
  fresh_->guards = old_.guards;
  fresh_->nodes.reserve(old_.nodes.size() + old_.nodes.size() / 8);
  fresh_->nodes.assign(old_.nodes.begin(), old_.nodes.begin() + current_ + 1);
  moved_.resize(old_.nodes.size());
  for (NodeId i = 0; i <= current_; ++i) moved_[i] = i;
}

Value Rewriter::mapped(Value v) const {
  if (!fresh_) return v;
  const NodeId to = moved_[v.node];
  return to >= 0 ? Value{to, v.index} : replaced_[-1 - to][v.index];
}

NodeId Rewriter::copy(NodeId old) {
  Node node = old_.nodes[old];
  for (Value& v : node.inputs) v = mapped(v);
  fresh_->nodes.push_back(std::move(node));
  return moved_[old] = static_cast<NodeId>(fresh_->nodes.size()) - 1;
}

std::shared_ptr<Graph> Rewriter::finish() {
  for (NodeId id : old_.inputs) fresh_->inputs.push_back(moved_[id]);
  for (const Value& v : old_.outputs) fresh_->outputs.push_back(mapped(v));
  drop_dead_nodes(*fresh_);
  return std::move(fresh_);
}

int64_t drop_dead_nodes(Graph& graph) {
  std::vector<bool> live(graph.nodes.size(), false);
  for (const Value& v : graph.outputs) live[v.node] = true;
  for (NodeId id : graph.inputs) live[id] = true;
  for (size_t id = graph.nodes.size(); id-- > 0;) {
    if (graph.nodes[id].op->has_side_effect()) live[id] = true;
    if (!live[id]) continue;
    for (const Value& v : graph.nodes[id].inputs) live[v.node] = true;
  }
  std::vector<NodeId> to(graph.nodes.size(), -1);
  size_t next = 0;
  for (size_t id = 0; id < graph.nodes.size(); ++id) {
    if (!live[id]) continue;
    to[id] = static_cast<NodeId>(next);
    if (next != id) graph.nodes[next] = std::move(graph.nodes[id]);
    for (Value& v : graph.nodes[next].inputs) v.node = to[v.node];
    ++next;
  }
  const auto dropped = static_cast<int64_t>(graph.nodes.size() - next);
  graph.nodes.resize(next);
  for (NodeId& id : graph.inputs) id = to[id];
  for (Value& v : graph.outputs) v.node = to[v.node];
  return dropped;
}

}  // namespace fovea
