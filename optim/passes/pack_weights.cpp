#include "optim/passes/pack_weights.h"

#include <map>

#include "graph/ir/op.h"
#include "ops/composite/packed_linear/packed_linear.h"
#include "optim/rewrite/rewriter.h"

namespace fovea {
namespace {

class Packer {
 public:
  Packer(const Graph& graph, PassContext& context)
      : rewriter_(graph, context), readers_(graph.nodes.size(), 0) {
    for (const Node& node : graph.nodes)
      for (const Value& v : node.inputs) ++readers_[v.node];
    for (const Value& v : graph.outputs) ++readers_[v.node];
  }

  std::shared_ptr<Graph> run() {
    return rewriter_.run([this](NodeId id) { return visit(id); });
  }

 private:
  std::vector<Value> visit(NodeId id) {
    const Node& node = rewriter_.node(id);
    const std::string& op = node.op->name();
    if (op == "matmul") return pack(id, false);
    if (op == "linear") return pack(id, true);
    if (op == "add") return add_operand(id);
    if (op == "relu") return activate(id, "relu");
    if (op == "gelu") return activate(id, node.attrs.text("approximate") == "tanh" ? "gelu_tanh" : "gelu");
    return {};
  }

  // x W or x W^T + b, with a constant W.
  std::vector<Value> pack(NodeId id, bool transposed) {
    const Node& node = rewriter_.node(id);
    const Node& weight = rewriter_.node(node.inputs[1]);
    if (weight.op != &constant_ || node.outputs[0].dtype != DType::f32 ||
        rewriter_.type(node.inputs[0]).shape.empty())
      return {};
    const int64_t index = weight.attrs.integer("index");
    const Array& array = rewriter_.context().module->constants[index];
    if (array.rank() != 2 || array.size() == 0) return {};
    const int64_t columns = array.dim(transposed ? 0 : 1);
    // Where the last panel is mostly zeros the plain product does less.
    constexpr int64_t kPanel = 48;
    if (4 * columns < 3 * ((columns + kPanel - 1) / kPanel * kPanel)) return {};
    std::vector<Value> in{node.inputs[0], {}};
    const bool bias = node.inputs.size() > 2;
    if (bias) in.push_back(node.inputs[2]);
    in[1] = panels(index, transposed, id);
    rewriter_.context().fired("pack_weight");
    return {rewriter_.add(packed_, std::move(in), {{"columns", columns}, {"bias", bias}}, id)};
  }

  // The constant of the panels, made once for each matrix.
  Value panels(int64_t index, bool transposed, NodeId like) {
    auto& constants = rewriter_.context().module->constants;
    auto [at, fresh] = packed_index_.try_emplace({index, transposed}, 0);
    if (fresh) {
      at->second = static_cast<int64_t>(constants.size());
      const Array matrix = constants[index];
      constants.push_back(pack_panels(transposed ? matrix.transpose(0, 1) : matrix));
    }
    return rewriter_.add(
        constant_, {},
        {{"index", at->second}, {"dtype", DType::f32}, {"shape", to_shape(constants[at->second].shape())}},
        like);
  }

  // The packed product that operand i of node `id` is, if only that node reads it.
  NodeId product(NodeId id, size_t i) const {
    const Value v = rewriter_.node(id).inputs[i];
    const Value old = rewriter_.old_graph().nodes[rewriter_.old_id()].inputs[i];
    return rewriter_.node(v).op == &packed_ && readers_[old.node] == 1 ? v.node : -1;
  }

  // product + bias, product + residual
  std::vector<Value> add_operand(NodeId id) {
    for (size_t i = 0; i < 2; ++i) {
      const NodeId at = product(id, i);
      if (at < 0) continue;
      const Value other = rewriter_.node(id).inputs[1 - i];
      const Node& old = rewriter_.node(at);
      const TensorType type = rewriter_.type(other);
      if (old.attrs.flag("residual") || rewriter_.node(id).outputs[0] != old.outputs[0]) continue;
      const bool row = type.shape == Shape{old.attrs.integer("columns")} && !old.attrs.flag("bias") &&
                       old.attrs.text("activation") == "none";
      if (!row && type != old.outputs[0]) continue;
      std::vector<Value> in = old.inputs;
      in.push_back(other);
      Attrs attrs = old.attrs;
      attrs.set(row ? "bias" : "residual", true);
      rewriter_.context().fired(row ? "packed_bias" : "packed_residual");
      return {rewriter_.add(packed_, std::move(in), std::move(attrs), id)};
    }
    return {};
  }

  std::vector<Value> activate(NodeId id, const std::string& activation) {
    const NodeId at = product(id, 0);
    if (at < 0) return {};
    const Node& old = rewriter_.node(at);
    if (old.attrs.flag("residual") || old.attrs.text("activation") != "none") return {};
    Attrs attrs = old.attrs;
    attrs.set("activation", activation);
    rewriter_.context().fired("packed_activation");
    return {rewriter_.add(packed_, std::vector<Value>(old.inputs), std::move(attrs), id)};
  }

  Rewriter rewriter_;
  std::vector<int32_t> readers_;
  std::map<std::pair<int64_t, bool>, int64_t> packed_index_;
  const OpDecl &constant_ = find_op("constant"), &packed_ = find_op("packed_linear");
};

}  // namespace

std::shared_ptr<Graph> pack_weights(const Graph& graph, PassContext& context) {
  if (context.backend != "cpu") return nullptr;
  return Packer(graph, context).run();
}

}  // namespace fovea
