#include "optim/passes/residual_norm.h"

#include <algorithm>
#include <optional>

#include "graph/ir/op.h"
#include "optim/passes/verdict.h"
#include "optim/rewrite/rewriter.h"

namespace fovea {
namespace {

// norm(x + dropout(branch)) as nodes of the graph.
struct Sum {
  NodeId add = -1, norm = -1;
  Value x = {}, branch = {};
  NodeId dropout = -1;  ///< -1: the branch is added as it is
  bool centred = true;  ///< layer norm
  bool kept = false;    ///< the sum or the statistics have other readers
};

bool is_leaf(const Node& n) { return n.inputs.empty() && !n.op->has_side_effect(); }

class Search {
 public:
  explicit Search(const Graph& graph)
      : graph_(graph), uses_(graph.nodes.size(), 0), statistics_(graph.nodes.size(), false) {
    auto use = [this](const Value& v) {
      ++uses_[v.node];
      if (v.index > 0) statistics_[v.node] = true;
    };
    for (const Node& n : graph.nodes)
      for (const Value& v : n.inputs) use(v);
    for (const Value& v : graph.outputs) use(v);
  }

  // What norm `id` normalises, where that is a sum.
  std::optional<Sum> at(NodeId id) const {
    const Node& norm = graph_.nodes[id];
    const std::string& op = norm.op->name();
    if ((op != "layer_norm" && op != "rms_norm") || !is(norm.inputs[0], "add")) return {};
    Sum s;
    s.norm = id;
    s.add = norm.inputs[0].node;
    s.centred = op == "layer_norm";
    s.kept = uses_[s.add] > 1 || statistics_[id];
    const std::vector<Value>& summands = graph_.nodes[s.add].inputs;
    s.x = summands[0];
    s.branch = summands[1];
    if (is_dropped(s.x) && !is_dropped(s.branch)) std::swap(s.x, s.branch);
    if (is_dropped(s.branch)) {
      s.dropout = s.branch.node;
      s.branch = graph_.nodes[s.dropout].inputs[0];
    }
    return s;
  }

  Verdict judge(const Sum& s) const {
    const TensorType& sum = graph_.type({s.add, 0});
    if (sum.dtype != DType::f32 && sum.dtype != DType::f64)
      return {Reason::dtype, "the sum is " + std::string(to_string(sum.dtype)), "f32 summands"};
    for (const Value v : {s.x, s.branch}) {
      if (!(graph_.type(v) == sum))
        return {Reason::cost, "a summand of shape " + to_string(graph_.type(v).shape) + " is broadcast",
                "summands of one shape"};
      if (rides(v))
        return {Reason::cost, "the sum rides on the product with packed weights, which writes it anyway", ""};
    }
    const std::vector<Value>& in = graph_.nodes[s.norm].inputs;
    for (size_t i = 1; i < in.size(); ++i)
      if (in[i].node > s.add)
        return {Reason::cost, "gamma or beta is computed after the sum, and the sum would wait for it",
                "gamma and beta that are known before"};
    return {Reason::none, sentence(s), ""};
  }

 private:
  bool is(Value v, const char* op) const { return graph_.nodes[v.node].op->name() == op; }
  // What else reads the dropped values would need them in memory.
  bool is_dropped(Value v) const { return is(v, "dropout") && uses_[v.node] == 1; }
  // A product with constant weights, perhaps with a bias, that the pass `pack` writes with the sum.
  bool rides(Value v) const {
    if (uses_[v.node] != 1) return false;
    const Node* n = &graph_.nodes[v.node];
    if (n->op->name() == "add") {
      for (const Value& product : n->inputs)
        if (graph_.type(product) == graph_.type(v) && uses_[product.node] == 1 && is_packed(product))
          return true;
      return false;
    }
    return is_packed(v);
  }
  bool is_packed(Value v) const {
    const Node& n = graph_.nodes[v.node];
    if (n.op->name() != "linear" && n.op->name() != "matmul") return false;
    Value weight = n.inputs[1];
    if (is(weight, "permute")) weight = graph_.nodes[weight.node].inputs[0];
    return is(weight, "constant");
  }
  std::string sentence(const Sum& s) const {
    const std::string norm = graph_.nodes[s.norm].op->name();
    return (s.dropout >= 0 ? "dropout, add and " : "add and ") + norm + " run as one pass over memory" +
           (uses_[s.add] > 1 ? "; the sum is kept for its other readers" : "");
  }

  const Graph& graph_;
  std::vector<int32_t> uses_;
  std::vector<bool> statistics_;
};

void leave_record(const Graph& graph, const Sum& s, NodeId norm_was, const Verdict& verdict,
                  PassContext& context) {
  const TensorType& sum = graph.type({s.add, 0});
  // The sum is not read again, what was dropped out is neither written nor read.
  const Dim saved = Dim((s.dropout >= 0 ? 3 : 1) * size_of(sum.dtype)) * product(sum.shape);
  record(context, "residual_norm", graph, graph.nodes[s.norm], norm_was, verdict, saved);
}

// The graph with its leaves first, so that gamma and beta are known before the sum. `old`: where a node was.
Graph leaves_first(const Graph& graph, std::vector<NodeId>& old) {
  const auto count = static_cast<NodeId>(graph.nodes.size());
  for (const bool leaf : {true, false})
    for (NodeId id = 0; id < count; ++id)
      if (is_leaf(graph.nodes[id]) == leaf) old.push_back(id);
  std::vector<NodeId> to(old.size());
  for (NodeId id = 0; id < count; ++id) to[old[id]] = id;
  Graph out = graph;
  for (NodeId id = 0; id < count; ++id) {
    out.nodes[id] = graph.nodes[old[id]];
    for (Value& v : out.nodes[id].inputs) v.node = to[v.node];
  }
  for (NodeId& id : out.inputs) id = to[id];
  for (Value& v : out.outputs) v.node = to[v.node];
  return out;
}

// The fused node in the place of the sum.
NodeId fuse(Rewriter& r, const Sum& s) {
  static const OpDecl& fused = find_op("residual_norm");
  const Graph& old = r.old_graph();
  const Node& norm = old.nodes[s.norm];
  std::vector<Value> operands = {r.mapped(s.x), r.mapped(s.branch)};
  for (size_t i = 1; i < norm.inputs.size(); ++i) operands.push_back(r.mapped(norm.inputs[i]));
  Attrs attrs{{"norm", s.centred ? "layer" : "rms"},
              {"dims", norm.attrs.integer("dims")},
              {"eps", norm.attrs.number("eps")},
              {"sum", s.kept}};
  if (s.dropout >= 0) {
    const Node& dropout = old.nodes[s.dropout];
    attrs.set("p", dropout.attrs.number("p"));
    attrs.set("ordinal", dropout.attrs.integer("ordinal"));
    if (dropout.attrs.number("p") > 0) operands.push_back(r.mapped(dropout.inputs[1]));
  }
  return r.add(fused, std::move(operands), std::move(attrs), r.mapped({s.add, 0}).node).node;
}

// A sum whose norm reads a leaf that stands behind it.
bool has_late_leaf(const Graph& graph) {
  const Search search(graph);
  for (size_t i = 0; i < graph.nodes.size(); ++i)
    if (const std::optional<Sum> s = search.at(static_cast<NodeId>(i)))
      for (const Value& v : graph.nodes[i].inputs)
        if (v.node > s->add && is_leaf(graph.nodes[v.node])) return true;
  return false;
}

// The pass on a graph whose leaves stand where they are needed; `old` as leaves_first gives it, or empty.
std::shared_ptr<Graph> fuse_in_order(const Graph& graph, const std::vector<NodeId>& old,
                                     PassContext& context) {
  const Search search(graph);
  std::vector<int32_t> of(graph.nodes.size(), -1);  // by sum and by norm: which of `sums`
  std::vector<Sum> sums;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const std::optional<Sum> s = search.at(static_cast<NodeId>(i));
    if (!s) continue;
    Verdict verdict = search.judge(*s);
    if (of[s->add] >= 0) verdict = {Reason::cost, "another norm of the same sum is fused with it", ""};
    leave_record(graph, *s, old.empty() ? s->norm : old[s->norm], verdict, context);
    if (verdict.reason != Reason::none) continue;
    of[s->add] = of[i] = static_cast<int32_t>(sums.size());
    sums.push_back(*s);
    context.fired(s->centred ? "residual_layer_norm" : "residual_rms_norm");
    if (s->dropout >= 0) context.fired("residual_dropout");
  }
  if (sums.empty()) return nullptr;
  std::vector<NodeId> made(sums.size(), -1);
  Rewriter rewriter(graph, context);
  return rewriter.run([&](NodeId) -> std::vector<Value> {
    const NodeId id = rewriter.old_id();
    if (of[id] < 0) return {};
    const Sum& s = sums[of[id]];
    NodeId& node = made[of[id]];
    if (id == s.add) {
      if (node >= 0) return {};  // seen again
      node = fuse(rewriter, s);
      // Nobody but the norm reads a sum that is not kept.
      return {{node, s.kept ? 1 : 0}};
    }
    if (!s.kept) return {{node, 0}};
    if (!s.centred) return {{node, 0}, {node, 2}};
    return {{node, 0}, {node, 3}, {node, 2}};
  });
}

}  // namespace

std::shared_ptr<Graph> fuse_residual_norm(const Graph& given, PassContext& context) {
  // A norm computed again from its sum is cheap; computed with the sum it would need the branch again, too.
  if (context.recomputes) return nullptr;
  if (!has_late_leaf(given)) return fuse_in_order(given, {}, context);
  std::vector<NodeId> old;
  const Graph graph = leaves_first(given, old);
  return fuse_in_order(graph, old, context);
}

}  // namespace fovea
