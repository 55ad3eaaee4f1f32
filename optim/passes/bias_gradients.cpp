#include "optim/passes/bias_gradients.h"

#include <map>
#include <optional>

#include "graph/ir/op.h"
#include "optim/passes/verdict.h"
#include "optim/rewrite/rewriter.h"

namespace fovea {
namespace {

// A node whose result is summed over the rows.
struct Summed {
  NodeId node = -1;
  std::string activation;  ///< of activation_backward; empty: residual_norm_backward
  int32_t made = -1;       ///< the node that takes its place, in the graph as it is rewritten
};

class Search {
 public:
  explicit Search(const Graph& graph) : graph_(graph) {}

  // What sum `id` sums, where that can sum as it computes.
  std::optional<Summed> at(NodeId id) const {
    const Node& sum = graph_.nodes[id];
    if (sum.op->name() != "sum") return {};
    Value v = sum.inputs[0];
    const Shape& shape = graph_.type(v).shape;
    const Ints& axes = sum.attrs.ints("axes");
    if (shape.size() < 2 || axes.size() + 1 != shape.size() ||
        axes.back() + 2 != static_cast<int64_t>(shape.size()))
      return {};
    while (graph_.nodes[v.node].op->name() == "reshape") {
      const Value from = graph_.nodes[v.node].inputs[0];
      const Shape& before = graph_.type(from).shape;
      if (before.size() < 2 || !(before.back() == graph_.type(v).shape.back())) return {};
      v = from;
    }
    return maker_of(v);
  }

 private:
  std::optional<Summed> maker_of(Value v) const {
    const TensorType& type = graph_.type(v);
    if ((type.dtype != DType::f32 && type.dtype != DType::f64) || type.shape.size() < 2) return {};
    const Node& n = graph_.nodes[v.node];
    const std::string& op = n.op->name();
    if (op == "residual_norm_backward") {
      const int32_t branch = n.attrs.number("p") > 0 ? 1 : 0;
      if (v.index != branch || n.attrs.integer("dims") != 1 || n.attrs.flag("bias")) return {};
      return Summed{v.node, ""};
    }
    if (!(graph_.type(n.inputs.empty() ? v : n.inputs[0]) == type)) return {};
    for (const char* activation : {"gelu", "relu", "silu", "sigmoid", "tanh"}) {
      if (op != activation + std::string("_backward")) continue;
      if (!(graph_.type(n.inputs[1]) == type)) return {};
      const bool by_tanh = op == "gelu_backward" && n.attrs.text("approximate") == "tanh";
      return Summed{v.node, by_tanh ? "gelu_tanh" : activation};
    }
    return {};
  }

  const Graph& graph_;
};

void leave_record(const Graph& graph, NodeId sum, const Summed& s, PassContext& context) {
  const TensorType& type = graph.type(graph.nodes[sum].inputs[0]);
  const Verdict verdict{
      Reason::none, graph.nodes[s.node].op->name() + " sums its result over the rows as it is computed", ""};
  record(context, "bias_gradient", graph, graph.nodes[sum], sum, verdict,
         Dim(size_of(type.dtype)) * product(type.shape));
}

NodeId replace(Rewriter& r, const Summed& s, NodeId id) {
  static const OpDecl &activation = find_op("bias_activation_backward"),
                      &residual = find_op("residual_norm_backward");
  const Node node = r.node(id);
  if (!s.activation.empty()) return r.add(activation, node.inputs, {{"activation", s.activation}}, id).node;
  Attrs attrs = node.attrs;
  attrs.set("bias", true);
  return r.add(residual, node.inputs, attrs, id).node;
}

}  // namespace

std::shared_ptr<Graph> fuse_bias_gradients(const Graph& graph, PassContext& context) {
  const Search search(graph);
  std::map<NodeId, size_t> maker, sum;  // which of `all`
  std::vector<Summed> all;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const auto id = static_cast<NodeId>(i);
    const std::optional<Summed> s = search.at(id);
    if (!s) continue;
    const auto [at, fresh] = maker.emplace(s->node, all.size());
    if (fresh) all.push_back(*s);
    sum.emplace(id, at->second);
    leave_record(graph, id, *s, context);
    context.fired(s->activation.empty() ? "bias_of_residual" : "bias_of_activation");
  }
  if (all.empty()) return nullptr;
  static const OpDecl& reshape = find_op("reshape");
  Rewriter rewriter(graph, context);
  return rewriter.run([&](NodeId id) -> std::vector<Value> {
    const NodeId old = rewriter.old_id();
    if (const auto at = maker.find(old); at != maker.end()) {
      Summed& s = all[at->second];
      if (s.made >= 0) return {};
      const size_t results = rewriter.node(id).outputs.size();
      s.made = replace(rewriter, s, id);
      std::vector<Value> out;
      for (size_t k = 0; k < results; ++k) out.push_back({s.made, static_cast<int32_t>(k)});
      return out;
    }
    const auto at = sum.find(old);
    if (at == sum.end() || rewriter.node(id).op->name() != "sum") return {};
    const Summed& s = all[at->second];
    const Value bias{s.made, static_cast<int32_t>(rewriter.node(s.made).outputs.size()) - 1};
    const Shape& wanted = graph.nodes[old].outputs[0].shape;
    if (rewriter.type(bias).shape == wanted) return {bias};
    return {rewriter.add(reshape, {bias}, {{"shape", wanted}}, id)};
  });
}

}  // namespace fovea
