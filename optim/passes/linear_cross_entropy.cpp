#include "optim/passes/linear_cross_entropy.h"

#include <algorithm>
#include <optional>

#include "graph/ir/op.h"
#include "optim/passes/verdict.h"
#include "optim/rewrite/rewriter.h"

namespace fovea {
namespace {

// With fewer the logits are hardly larger than what they are made from.
constexpr int64_t kLeastClasses = 64;

// What logits are made from: y = x weight^T + bias, or y = x matrix + bias.
struct Projection {
  Value x = {}, weight = {}, bias = {};
  bool has_bias = false;
  bool is_matrix = false;            ///< weight is [in, classes]
  std::vector<NodeId> between = {};  ///< the nodes from the product to the loss
};

// Finds projections by walking back from logits.
class Walk {
 public:
  explicit Walk(const Graph& graph) : graph_(graph) {}

  std::optional<Projection> from(Value logits) const {
    std::vector<NodeId> between = {logits.node};
    while (name(logits) == "reshape" && keeps_classes(logits)) {
      logits = node(logits).inputs[0];
      between.push_back(logits.node);
    }
    std::optional<Projection> p = product(logits);
    if (!p && name(logits) == "add")
      for (size_t i = 0; i < 2 && !p; ++i) {
        const Value sum = node(logits).inputs[i], bias = node(logits).inputs[1 - i];
        if (!is_bias(bias, logits) || !(graph_.type(sum) == graph_.type(logits))) continue;
        p = product(sum);
        if (p && p->has_bias) p.reset();
        if (!p) continue;
        p->bias = bias;
        p->has_bias = true;
        between.push_back(sum.node);
      }
    if (p) p->between = std::move(between);
    return p;
  }

 private:
  const Node& node(Value v) const { return graph_.nodes[v.node]; }
  const std::string& name(Value v) const { return node(v).op->name(); }
  bool keeps_classes(Value reshaped) const {
    const Shape &to = graph_.type(reshaped).shape, &from = graph_.type(node(reshaped).inputs[0]).shape;
    return !to.empty() && !from.empty() && to.back() == from.back();
  }
  bool is_bias(Value v, Value logits) const {
    const Shape& s = graph_.type(v).shape;
    return s.size() == 1 && s[0] == graph_.type(logits).shape.back();
  }
  std::optional<Projection> product(Value y) const {
    const Node& n = node(y);
    if (name(y) == "linear") {
      Projection p{.x = n.inputs[0], .weight = n.inputs[1]};
      p.has_bias = n.inputs.size() > 2;
      if (p.has_bias) p.bias = n.inputs[2];
      return p;
    }
    if (name(y) != "matmul") return {};
    const Value matrix = n.inputs[1];  // one for all rows
    if (graph_.type(matrix).shape.size() != 2 || graph_.type(n.inputs[0]).shape.size() < 2) return {};
    if (name(matrix) == "permute" && node(matrix).attrs.ints("axes") == Ints{1, 0})
      return Projection{.x = n.inputs[0], .weight = node(matrix).inputs[0]};
    return Projection{.x = n.inputs[0], .weight = matrix, .is_matrix = true};
  }

  const Graph& graph_;
};

Verdict judge(const Graph& graph, const Node& loss, const Projection& p, const std::vector<int32_t>& uses) {
  const TensorType& logits = graph.type(loss.inputs[0]);
  if (std::any_of(p.between.begin(), p.between.end(), [&](NodeId id) { return uses[id] > 1; }))
    return {Reason::escape_s, "the logits are read by other operations, too, so they exist in any case", ""};
  if (logits.dtype != DType::f32 && logits.dtype != DType::f64)
    return {Reason::dtype, "the logits are " + std::string(to_string(logits.dtype)), "f32 logits"};
  if (loss.attrs.text("reduction") == "none")
    return {Reason::cost, "with a loss for each row the gradients cannot be made along with the losses",
            "reduction mean or sum"};
  const Dim& classes = logits.shape.back();
  if (!classes.is_const() || classes.value() < kLeastClasses)
    return {Reason::cost,
            "it pays from " + std::to_string(kLeastClasses) + " classes on, here are " + classes.str(), ""};
  return {Reason::none,
          "loss and gradients are computed a chunk of rows at a time: the logits never exist as a whole", ""};
}

void leave_record(const Graph& graph, NodeId id, const Verdict& verdict, PassContext& context) {
  const TensorType& logits = graph.type(graph.nodes[id].inputs[0]);
  const Dim saved = Dim(size_of(logits.dtype)) * product(logits.shape);
  record(context, "linear_cross_entropy", graph, graph.nodes[id], id, verdict, saved);
}

// The fused loss: x takes the shape of the labels.
std::vector<Value> fuse(Rewriter& r, NodeId id) {
  static const OpDecl &fused = find_op("linear_cross_entropy"), &reshape = find_op("reshape"),
                      &permute = find_op("permute");
  const std::vector<Value> in = r.node(id).inputs;
  const Attrs attrs = r.node(id).attrs;
  const std::optional<Projection> p = Walk(r.graph()).from(in[0]);
  Value x = p->x, weight = p->weight;
  Shape rows = r.type(in[1]).shape;
  rows.push_back(r.type(x).shape.back());
  if (!(r.type(x).shape == rows)) x = r.add(reshape, {x}, {{"shape", rows}}, id);
  if (p->is_matrix) weight = r.add(permute, {weight}, {{"axes", Ints{1, 0}}}, id);
  std::vector<Value> operands = {x, weight, in[1]};
  if (p->has_bias) operands.push_back(p->bias);
  const Value loss = r.add(fused, std::move(operands), attrs, id);
  return {loss, {loss.node, 1}};
}

}  // namespace

std::shared_ptr<Graph> fuse_linear_cross_entropy(const Graph& graph, PassContext& context) {
  static const OpDecl& cross_entropy = find_op("cross_entropy");
  auto is_loss = [](const Node& n) { return n.op == &cross_entropy; };
  if (std::none_of(graph.nodes.begin(), graph.nodes.end(), is_loss)) return nullptr;
  std::vector<int32_t> uses(graph.nodes.size(), 0);
  for (const Node& n : graph.nodes)
    for (const Value& v : n.inputs) ++uses[v.node];
  for (const Value& v : graph.outputs) ++uses[v.node];
  std::vector<bool> chosen;  // for each loss, in their order
  for (size_t id = 0; id < graph.nodes.size(); ++id) {
    const Node& node = graph.nodes[id];
    if (!is_loss(node)) continue;
    const std::optional<Projection> p = Walk(graph).from(node.inputs[0]);
    const Verdict verdict = p ? judge(graph, node, *p, uses) : Verdict{Reason::backend, "", ""};
    if (p) leave_record(graph, static_cast<NodeId>(id), verdict, context);
    chosen.push_back(verdict.reason == Reason::none);
  }
  context.fired("linear_cross_entropy", std::count(chosen.begin(), chosen.end(), true));
  size_t loss = 0;
  Rewriter rewriter(graph, context);
  return rewriter.run([&](NodeId id) -> std::vector<Value> {
    if (!is_loss(rewriter.node(id)) || !chosen[loss++]) return {};
    return fuse(rewriter, id);
  });
}

}  // namespace fovea
