#include "optim/passes/additive_scores.h"

#include <algorithm>
#include <optional>

#include "graph/ir/op.h"
#include "optim/passes/verdict.h"
#include "optim/rewrite/rewriter.h"

namespace fovea {
namespace {

// sum over the last axis of w tanh(k + q), as node `id` computes it.
struct Scores {
  const char* rule = nullptr;
  Value tanh = {}, k = {}, q = {}, w = {}, bias = {};
  bool has_bias = false;
  Value shift = {};  ///< a row that is added to q
  bool has_shift = false;
  std::vector<NodeId> between = {};  ///< from the tanh to the operand of the sum
};

class Search {
 public:
  explicit Search(const Graph& graph) : graph_(graph) {}

  // What computes the sum; nothing where `id` is no such sum.
  std::optional<Scores> at(NodeId id) const {
    const Node& n = graph_.nodes[id];
    const std::string& op = n.op->name();
    if (op == "linear") return linear(n);
    if (op == "matmul") return matmul(n);
    if (op == "sum") return sum(n);
    return {};
  }

 private:
  const std::string& name(Value v) const { return graph_.nodes[v.node].op->name(); }
  const Shape& shape(Value v) const { return graph_.type(v).shape; }

  std::optional<Scores> linear(const Node& n) const {
    if (!(shape(n.inputs[1])[0] == Dim(1))) return {};
    std::optional<Scores> s = tanh_of(n.inputs[0]);
    if (!s) return {};
    s->rule = "additive_scores_linear";
    s->w = n.inputs[1];
    s->has_bias = n.inputs.size() > 2;
    if (s->has_bias) s->bias = n.inputs[2];
    return s;
  }
  std::optional<Scores> matmul(const Node& n) const {
    const Shape& w = shape(n.inputs[1]);
    if (w.size() != 2 || !(w[1] == Dim(1))) return {};
    std::optional<Scores> s = tanh_of(n.inputs[0]);
    if (!s) return {};
    s->rule = "additive_scores_matmul";
    s->w = n.inputs[1];
    return s;
  }
  std::optional<Scores> sum(const Node& n) const {
    const Value product = n.inputs[0];
    const int64_t last = static_cast<int64_t>(shape(product).size()) - 1;
    if (name(product) != "mul" || n.attrs.ints("axes") != Ints{last}) return {};
    const std::vector<Value>& factors = graph_.nodes[product.node].inputs;
    for (size_t i = 0; i < 2; ++i) {
      if (!is_row(factors[1 - i], shape(product))) continue;
      std::optional<Scores> s = tanh_of(factors[i]);
      if (!s || !(shape(factors[i]) == shape(product))) continue;
      s->rule = "additive_scores_sum";
      s->w = factors[1 - i];
      s->between.push_back(product.node);
      return s;
    }
    return {};
  }
  // One row of weights for all rows of `rows`.
  bool is_row(Value v, const Shape& rows) const {
    const Shape& s = shape(v);
    return !s.empty() && s.back() == rows.back() &&
           std::all_of(s.begin(), s.end() - 1, [](const Dim& d) { return d == Dim(1); });
  }

  // v = tanh(k + q), perhaps with other leading axes.
  std::optional<Scores> tanh_of(Value v) const {
    Scores s;
    s.between = {v.node};
    while (name(v) == "reshape" && !shape(v).empty()) {
      const Value from = graph_.nodes[v.node].inputs[0];
      if (shape(from).empty() || !(shape(from).back() == shape(v).back())) return {};
      v = from;
      s.between.push_back(v.node);
    }
    if (name(v) != "tanh") return {};
    const Value total = graph_.nodes[v.node].inputs[0];
    if (name(total) != "add" || shape(total).empty()) return {};
    s.tanh = v;
    s.k = graph_.nodes[total.node].inputs[0];
    s.q = graph_.nodes[total.node].inputs[1];
    for (const Value operand : {s.k, s.q})
      if (shape(operand).empty() || !(shape(operand).back() == shape(total).back())) return {};
    take_shift(s);
    return s;
  }
  // (k + q) + row as k + (q + row), with the smaller one as q.
  void take_shift(Scores& s) const {
    if (shape(s.k).size() == 1) std::swap(s.k, s.q);
    if (shape(s.q).size() != 1 || name(s.k) != "add") return;
    const Shape& whole = shape(s.k);
    Value k = graph_.nodes[s.k.node].inputs[0], q = graph_.nodes[s.k.node].inputs[1];
    if (shape(q) == whole) std::swap(k, q);
    for (const Value v : {k, q})
      if (shape(v).size() < 2 || !(shape(v).back() == whole.back())) return;
    if (shape(q) == whole) return;
    s.shift = s.q;
    s.has_shift = true;
    s.k = k;
    s.q = q;
  }

  const Graph& graph_;
};

Verdict judge(const Graph& graph, const Scores& s, const std::vector<int32_t>& uses) {
  if (std::any_of(s.between.begin(), s.between.end(), [&](NodeId id) { return uses[id] > 1; }))
    return {Reason::escape_s, "the tanh is read by other operations, too, so it exists in any case", ""};
  const DType dtype = graph.type(s.k).dtype;
  if (dtype != DType::f32 && dtype != DType::f64)
    return {Reason::dtype, "the operands are " + std::string(to_string(dtype)), "f32 operands"};
  for (const Value v : {s.k, s.q})
    if (graph.type(v).shape.size() < 2)
      return {Reason::cost,
              "one summand is only a bias: the other is as large as the tanh and kept in its place", ""};
  return {Reason::none, "the tanh is summed as it is computed, and computed again for the gradients", ""};
}

void leave_record(const Graph& graph, NodeId id, const Scores& s, const Verdict& verdict,
                  PassContext& context) {
  const Dim saved = Dim(size_of(graph.type(s.k).dtype)) * product(graph.type(s.tanh).shape);
  record(context, "additive_scores", graph, graph.nodes[id], id, verdict, saved);
}

// The scores in the shape of what node `id` gave.
Value fuse(Rewriter& r, NodeId id, const Scores& s) {
  static const OpDecl &fused = find_op("additive_scores"), &reshape = find_op("reshape"),
                      &add = find_op("add");
  const Shape shape = r.type(Value{id, 0}).shape;
  auto shaped = [&](Value v, const Shape& to) {
    return r.type(v).shape == to ? v : r.add(reshape, {v}, {{"shape", to}}, id);
  };
  const Value w = shaped(s.w, {r.type(s.k).shape.back()});
  const Value q = s.has_shift ? r.add(add, {s.q, s.shift}, {}, id) : s.q;
  const Value scores = shaped(r.add(fused, {s.k, q, w}, {}, id), shape);
  return s.has_bias ? r.add(add, {scores, s.bias}, {}, id) : scores;
}

}  // namespace

std::shared_ptr<Graph> fuse_additive_scores(const Graph& graph, PassContext& context) {
  static const OpDecl& tanh = find_op("tanh");
  if (std::none_of(graph.nodes.begin(), graph.nodes.end(), [](const Node& n) { return n.op == &tanh; }))
    return nullptr;
  std::vector<int32_t> uses(graph.nodes.size(), 0);
  for (const Node& n : graph.nodes)
    for (const Value& v : n.inputs) ++uses[v.node];
  for (const Value& v : graph.outputs) ++uses[v.node];
  std::vector<bool> chosen(graph.nodes.size(), false);
  bool any = false;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const NodeId id = static_cast<NodeId>(i);
    const std::optional<Scores> s = Search(graph).at(id);
    if (!s) continue;
    const Verdict verdict = judge(graph, *s, uses);
    leave_record(graph, id, *s, verdict, context);
    if (verdict.reason != Reason::none) continue;
    chosen[i] = any = true;
    context.fired(s->rule);
  }
  if (!any) return nullptr;
  Rewriter rewriter(graph, context);
  return rewriter.run([&](NodeId id) -> std::vector<Value> {
    if (!chosen[rewriter.old_id()]) return {};
    const std::optional<Scores> s = Search(rewriter.graph()).at(id);
    if (!s) return {};
    return {fuse(rewriter, id, *s)};
  });
}

}  // namespace fovea
