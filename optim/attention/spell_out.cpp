#include "optim/attention/spell_out.h"

#include <algorithm>

#include "ops/core/broadcast_to/broadcast_to.h"
#include "ops/core/reshape/reshape.h"

namespace fovea::match {
namespace {

// True where what reads the node is also about what the node reads.
bool leads_on(const View& view, NodeId id) {
  switch (view.role(id)) {
    case Role::matmul:
    case Role::linear:
    case Role::einsum:
    case Role::stop_gradient:
    case Role::random:
    case Role::iota:
    case Role::full:
    case Role::constant:
    case Role::input:
      return false;
    case Role::other:
      return view.graph.nodes[static_cast<size_t>(id)].op->name() == "batch_norm_inference";
    default:
      return true;
  }
}

bool has_name(const View& view, NodeId id, const char* name) {
  return view.graph.nodes[static_cast<size_t>(id)].op->name() == name;
}

// Logarithms of probabilities, perhaps times something: what sums of these are is a loss.
bool is_logarithm(const View& view, Value v) {
  for (size_t steps = 0; steps < 16; ++steps) {
    const Node& n = view.node(v);
    switch (view.role(v)) {
      case Role::log:
      case Role::log_softmax:
      case Role::logsumexp:
      case Role::sub:
        return true;
      case Role::mul:
        v = n.inputs[view.tainted(n.inputs[0]) ? 0 : 1];
        break;
      case Role::neg:
      case Role::same:
      case Role::reshape:
      case Role::permute:
      case Role::slice:
        v = n.inputs[0];
        break;
      default:
        return false;
    }
  }
  return false;
}

// The tensor before it was repeated, with axes of size 1 where it was.
Tensor before_repeating(Builder& builder, const Tensor& x) {
  const Node& n = builder.graph().nodes[static_cast<size_t>(x.value().node)];
  if (n.op->name() != "broadcast_to") return x;
  const Tensor inside = builder.tensor(n.inputs[0]);
  Shape shape = inside.shape();
  shape.insert(shape.begin(), x.shape().size() - shape.size(), Dim(1));
  return shape == inside.shape() ? inside : reshape(inside, shape);
}

// An elementwise operation, or a sum, before what all its operands have repeated.
std::vector<Tensor> narrowed(Builder& builder, const Node& node, const std::vector<Tensor>& in) {
  const bool sums = node.op->name() == "sum";
  const size_t rank = sums ? in[0].shape().size() : node.outputs[0].shape.size();
  std::vector<Tensor> operands;
  Shape shape(rank, Dim(1));
  bool any = false;
  for (const Tensor& x : in) {
    operands.push_back(before_repeating(builder, x));
    const Shape& now = operands.back().shape();
    if (now.size() > rank) return {};
    for (size_t d = 0; d < now.size(); ++d) {
      any = any || now[d] != x.shape()[d];
      if (now[d] != Dim(1)) shape[rank - now.size() + d] = now[d];
    }
  }
  const Shape& result = node.outputs[0].shape;
  if (!any || (!sums && (result.size() != rank || shape == result))) return {};
  if (sums) {
    for (int64_t axis : node.attrs.ints("axes")) {
      const auto d = static_cast<size_t>(axis);
      if (shape[d] != in[0].shape()[d]) return {};
    }
  }
  const Tensor small = apply1(node.op->name(), operands, node.attrs, node.source);
  return {broadcast_to(small, result)};
}

}  // namespace

SpellOut::SpellOut(const View& view) : view_(view) {
  find_near();
  if (std::none_of(near_.begin(), near_.end(), [](bool near) { return near; })) return;
  find_factors();
  rules_.assign(view.graph.nodes.size(), Rule::none);
  for (size_t id = 0; id < rules_.size(); ++id) {
    rules_[id] = rule_of(static_cast<NodeId>(id));
    any_ = any_ || rules_[id] != Rule::none;
  }
}

// From every product of exponentials with values, up to the operands of the scores' product.
void SpellOut::find_near() {
  near_.assign(view_.graph.nodes.size(), false);
  for (size_t k = near_.size(); k-- > 0;) {
    const auto id = static_cast<NodeId>(k);
    const Node& n = view_.graph.nodes[k];
    const bool on = near_[k] && leads_on(view_, id);
    const bool contracts = is_contraction(view_.role(id)) || has_name(view_, id, "mean");
    for (const Value& v : n.inputs) {
      const bool weighs = contracts && view_.tainted(v) && !is_logarithm(view_, v);
      if (weighs) near_[k] = true;
      if (on || weighs) near_[static_cast<size_t>(v.node)] = true;
    }
  }
}

void SpellOut::find_factors() {
  factors_.assign(view_.graph.nodes.size(), false);
  for (size_t k = factors_.size(); k-- > 0;) {
    const auto id = static_cast<NodeId>(k);
    const Role r = view_.role(id);
    const bool sum = near_[k] && r == Role::sum && !view_.tainted({id, 0});
    const bool inside = factors_[k] && leads_on(view_, id) && !view_.tainted({id, 0});
    if (sum || inside)
      for (const Value& v : view_.graph.nodes[k].inputs) factors_[static_cast<size_t>(v.node)] = true;
  }
}

// A product of two tensors, perhaps scaled, behind views.
bool SpellOut::is_product(Value v) const {
  for (int steps = 0; steps < 16; ++steps) {
    const Role r = view_.role(v);
    const Node& n = view_.node(v);
    if (r == Role::matmul || r == Role::einsum || r == Role::linear) return true;
    const bool scaled = (r == Role::mul || r == Role::div) && view_.number(n.inputs[1]);
    if (!scaled && r != Role::reshape && r != Role::permute && r != Role::same) return false;
    v = n.inputs[0];
  }
  return false;
}

SpellOut::Rule SpellOut::rule_of(NodeId id) const {
  if (!near_[static_cast<size_t>(id)] && !factors_[static_cast<size_t>(id)]) return Rule::none;
  const Node& n = view_.graph.nodes[static_cast<size_t>(id)];
  const Role r = view_.role(id);
  if (r == Role::linear) return n.inputs.size() == 3 ? Rule::apart : Rule::none;
  if (r == Role::einsum) return n.inputs.size() == 1 ? Rule::decompose : Rule::none;
  if (r == Role::triangle) return view_.tainted(n.inputs[0]) ? Rule::decompose : Rule::none;
  if (has_name(view_, id, "mean"))
    return view_.tainted(n.inputs[0]) || is_product(n.inputs[0]) ? Rule::decompose : Rule::none;
  if (has_name(view_, id, "batch_norm_inference")) return Rule::decompose;
  if (has_name(view_, id, "conv2d")) {
    const Shape& weight = view_.shape(n.inputs[1]);
    return weight[2] == Dim(1) && weight[3] == Dim(1) ? Rule::decompose : Rule::none;
  }
  const bool elementwise = n.op->is_pointwise() && n.outputs.size() == 1 && !n.inputs.empty();
  if (factors_[static_cast<size_t>(id)] && (elementwise || r == Role::sum)) {
    // Something above must have been repeated.
    std::vector<Value> open(n.inputs);
    for (size_t k = 0; k < open.size() && open.size() < 32; ++k) {
      if (view_.role(open[k]) == Role::broadcast) return Rule::narrow;
      if (!leads_on(view_, open[k].node)) continue;
      const auto& more = view_.node(open[k]).inputs;
      open.insert(open.end(), more.begin(), more.end());
    }
  }
  return Rule::none;
}

std::vector<Tensor> SpellOut::rewrite(Builder& builder, NodeId id, const std::vector<Tensor>& in) const {
  const Node& n = view_.graph.nodes[static_cast<size_t>(id)];
  switch (rules_[static_cast<size_t>(id)]) {
    case Rule::apart:
      return {apply1("add", {apply1("linear", {in[0], in[1]}, n.attrs, n.source), in[2]}, {}, n.source)};
    case Rule::decompose:
      return n.op->decompose_fn()({in, n.attrs});
    case Rule::narrow:
      return narrowed(builder, n, in);
    default:
      return {};
  }
}

}  // namespace fovea::match
