#include "optim/passes/cse.h"

#include <algorithm>

#include "graph/ir/op.h"
#include "optim/rewrite/hash.h"
#include "optim/rewrite/rewriter.h"

namespace fovea {
namespace {

// Open addressing over nodes: a list of nodes and their hashes, no memory an entry.
class NodeTable {
 public:
  explicit NodeTable(size_t nodes) {
    size_t size = 16;
    while (size < 2 * nodes) size *= 2;
    slots_.assign(size, -1);
  }
  // The first node of this hash that `same` accepts, or -1 after entering `id`.
  template <class Same>
  NodeId find_or_add(uint64_t hash, NodeId id, Same&& same) {
    const size_t mask = slots_.size() - 1;
    for (size_t at = hash & mask;; at = (at + 1) & mask) {
      if (slots_[at] < 0) {
        slots_[at] = id;
        if (static_cast<size_t>(id) >= hashes_.size()) hashes_.resize(id + 1);
        hashes_[id] = hash;
        return -1;
      }
      if (hashes_[slots_[at]] == hash && same(slots_[at])) return slots_[at];
    }
  }

 private:
  std::vector<NodeId> slots_;
  std::vector<uint64_t> hashes_;  // by node
};

// The larger of +0 and -0 is one or the other by their order, so maximum and minimum do not count.
bool order_is_free(const OpDecl& op) {
  return op.is_commutative() && op.name() != "maximum" && op.name() != "minimum";
}

bool may_merge(const Node& node) {
  if (node.op->is_random() || node.op->has_side_effect() || node.op->name() == "input") return false;
  for (const auto& [name, value] : node.attrs) {
    if (std::holds_alternative<FunctionRef>(value)) return false;
    if (name == "barrier" && value == AttrValue(true)) return false;
  }
  return true;
}

bool same_inputs(const Node& a, const Node& b) {
  if (a.inputs == b.inputs) return true;
  return a.inputs.size() == 2 && b.inputs.size() == 2 && order_is_free(*a.op) && a.inputs[0] == b.inputs[1] &&
         a.inputs[1] == b.inputs[0];
}

uint64_t hash_of_node(const Node& node) {
  const auto value = [](Value v) {
    return static_cast<uint64_t>(v.node) << 16 ^ static_cast<uint64_t>(v.index);
  };
  uint64_t h = hash_combine(reinterpret_cast<uintptr_t>(node.op), hash_of(node.attrs));
  if (node.inputs.size() == 2 && order_is_free(*node.op)) {
    const auto [a, b] = std::minmax(node.inputs[0], node.inputs[1]);
    return hash_combine(hash_combine(h, value(a)), value(b));
  }
  for (const Value& v : node.inputs) h = hash_combine(h, value(v));
  return h;
}

}  // namespace

std::shared_ptr<Graph> common_subexpressions(const Graph& graph, PassContext& context) {
  Rewriter rewriter(graph, context);
  NodeTable table(graph.nodes.size());
  int64_t merged = 0;
  auto out = rewriter.run([&](NodeId id) -> std::vector<Value> {
    const Node& node = rewriter.node(id);
    if (!may_merge(node)) return {};
    const NodeId known = table.find_or_add(hash_of_node(node), id, [&](NodeId other) {
      const Node& b = rewriter.node(other);
      return b.op == node.op && same_inputs(node, b) && b.attrs == node.attrs;
    });
    if (known < 0) return {};
    ++merged;
    std::vector<Value> with;
    for (size_t i = 0; i < node.outputs.size(); ++i) with.push_back({known, static_cast<int32_t>(i)});
    return with;
  });
  context.fired("common_subexpression", merged);
  return out;
}

}  // namespace fovea
