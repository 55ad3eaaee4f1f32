#include "graph/autodiff/vjp.h"

#include "framework/base/error.h"
#include "graph/build/inline.h"
#include "graph/ir/op.h"

namespace fovea {
namespace {

// One pass from the last node to the first. Gradients that arrive at a value are added in the order of
// arrival.
class ReversePass {
 public:
  ReversePass(Builder& builder, size_t nodes, const std::vector<Tensor>& wrt)
      : builder_(builder), grads_(nodes), active_(nodes, false), keep_(nodes, false) {
    for (const Tensor& x : wrt) active_[x.value().node] = true;
    const Graph& graph = builder.graph();
    for (size_t id = 0; id < nodes; ++id) {
      const Node& node = graph.nodes[id];
      if (active_[id] || !node.op->is_differentiable()) continue;
      for (const Value& v : node.inputs)
        if (active_[v.node] && is_floating(graph.type(v).dtype)) active_[id] = true;
    }
  }

  void seed(Value v, const Tensor& cotangent) { accumulate(v, cotangent); }

  Tensor gradient(Value v) const {
    const auto& g = grads_[v.node];
    return static_cast<size_t>(v.index) < g.size() ? g[v.index] : Tensor();
  }

  void visit(NodeId id) {
    if (!active_[id] || grads_[id].empty()) return;
    if (builder_.graph().nodes[id].inputs.empty()) return;
    const Node node = copy_of(id);
    std::vector<Tensor> in, out;
    std::vector<char> needs;
    bool any = false;
    for (const Value& v : node.inputs) {
      in.push_back(builder_.tensor(v));
      needs.push_back(active_[v.node] && is_floating(builder_.graph().type(v).dtype));
      any = any || needs.back();
    }
    if (!any) return;
    const size_t outputs = builder_.graph().nodes[id].outputs.size();
    for (size_t i = 0; i < outputs; ++i) out.push_back(builder_.tensor({id, static_cast<int32_t>(i)}));
    grads_[id].resize(outputs);
    if (!node.op->gradient_fn())
      fail(ErrorKind::Unsupported, node.op->name() + ": has no gradient" +
                                       (*node.source.file ? std::string("\n  at ") + node.source.file + ":" +
                                                                std::to_string(node.source.line)
                                                          : ""));
    static_assert(sizeof(bool) == 1);
    NodeOrigin origin(builder_, node);
    GradArgs args{in, out, grads_[id], node.attrs,
                  std::span(reinterpret_cast<const bool*>(needs.data()), needs.size())};
    const std::vector<Tensor> result = node.op->gradient_fn()(args);
    if (result.size() > in.size())
      invalid(node.op->name() + ": its gradient rule returned " + std::to_string(result.size()) +
              " tensors for " + std::to_string(in.size()) + " inputs");
    for (size_t i = 0; i < result.size(); ++i)
      if (needs[i] && result[i].defined()) accumulate(node.inputs[i], result[i]);
    if (!keep_[id]) grads_[id] = {};
  }

  void keep(NodeId id) { keep_[id] = true; }

 private:
  // Without the types of its outputs. A copy, because adding nodes moves the array.
  Node copy_of(NodeId id) const {
    const Node& n = builder_.graph().nodes[id];
    Node out;
    out.op = n.op;
    out.attrs = n.attrs;
    out.inputs = n.inputs;
    out.source = n.source;
    out.scope = n.scope;
    return out;
  }

  void accumulate(Value v, const Tensor& g) {
    const TensorType want = builder_.graph().type(v), got = g.type();
    if (got.dtype != want.dtype || got.shape.size() != want.shape.size())
      invalid("the gradient of a " + to_string(want) + " came as " + to_string(got) + " (" +
              builder_.graph().nodes[v.node].op->name() + ")");
    auto& slots = grads_[v.node];
    if (slots.size() <= static_cast<size_t>(v.index)) slots.resize(v.index + 1);
    Tensor& slot = slots[v.index];
    slot = slot.defined() ? apply1("add", {slot, g}, {}) : g;
  }

  Builder& builder_;
  std::vector<std::vector<Tensor>> grads_;
  std::vector<bool> active_;
  std::vector<bool> keep_;
};

}  // namespace

std::vector<Tensor> append_vjp(Builder& builder, const std::vector<Tensor>& outputs,
                               const std::vector<Tensor>& cotangents, const std::vector<Tensor>& wrt) {
  TraceScope trace(builder.shared_from_this());
  const size_t nodes = builder.graph().nodes.size();
  ReversePass pass(builder, nodes, wrt);
  for (const Tensor& x : wrt) pass.keep(x.value().node);
  for (size_t i = 0; i < outputs.size(); ++i)
    if (cotangents[i].defined()) pass.seed(outputs[i].value(), builder.import(cotangents[i]));
  for (size_t id = nodes; id-- > 0;) pass.visit(static_cast<NodeId>(id));
  std::vector<Tensor> out;
  for (const Tensor& x : wrt) out.push_back(pass.gradient(x.value()));
  return out;
}

}  // namespace fovea
