#include "optim/attention/distribute.h"

#include "graph/build/inline.h"
#include "ops/composite/einsum/einsum.h"

namespace fovea::match {
namespace {

bool is_wide_einsum(const View& view, NodeId id) {
  return view.role(id) == Role::einsum && view.graph.nodes[static_cast<size_t>(id)].inputs.size() > 2;
}

// The operand of a product that is a sum with a tainted side, or -1. Both sides must have the sum's shape.
int sum_operand(const View& view, NodeId id) {
  const Node& n = view.graph.nodes[static_cast<size_t>(id)];
  const Role r = view.role(id);
  if ((r != Role::matmul && r != Role::einsum) || n.inputs.size() != 2) return -1;
  for (int k : {0, 1}) {
    const Value v = n.inputs[static_cast<size_t>(k)];
    const Role s = view.role(v);
    if ((s != Role::add && s != Role::sub) || !view.tainted(v)) continue;
    const Node& sum = view.node(v);
    if (view.shape(sum.inputs[0]) == view.shape(v) && view.shape(sum.inputs[1]) == view.shape(v)) return k;
  }
  return -1;
}

// An operand whose axes another one has multiplies that one first; what is left is decomposed in its order.
std::vector<Tensor> narrowed(const Node& node, const std::vector<Tensor>& in) {
  std::string text;
  for (char c : node.attrs.text("equation"))
    if (c != ' ') text += c;
  const size_t arrow = text.find("->");
  if (arrow == std::string::npos || text.find("...") != std::string::npos)
    return node.op->decompose_fn()({in, node.attrs});
  std::vector<Tensor> operands = in;
  std::vector<std::string> terms(1);
  for (char c : text.substr(0, arrow)) {
    if (c == ',')
      terms.emplace_back();
    else
      terms.back() += c;
  }
  const auto within = [](const std::string& a, const std::string& b) {
    return a.find_first_not_of(b) == std::string::npos;
  };
  for (size_t i = terms.size(); i-- > 0 && terms.size() > 2;)
    for (size_t k = 0; k < terms.size(); ++k) {
      if (k == i || !within(terms[i], terms[k])) continue;
      operands[k] =
          einsum(terms[k] + "," + terms[i] + "->" + terms[k], {operands[k], operands[i]}, node.source);
      operands.erase(operands.begin() + static_cast<std::ptrdiff_t>(i));
      terms.erase(terms.begin() + static_cast<std::ptrdiff_t>(i));
      break;
    }
  std::string equation;
  for (const std::string& t : terms) equation += (equation.empty() ? "" : ",") + t;
  equation += text.substr(arrow);
  if (terms.size() == 2) return {einsum(equation, operands, node.source)};
  return node.op->decompose_fn()({operands, {{"equation", equation}}});
}

std::vector<Tensor> split(Builder& builder, const Node& node, const std::vector<Tensor>& in, int k) {
  const Node& sum = builder.graph().nodes[static_cast<size_t>(in[static_cast<size_t>(k)].value().node)];
  const Value left = sum.inputs[0], right = sum.inputs[1];
  const std::string op = sum.op->name();
  const auto product = [&](Value part) {
    std::vector<Tensor> operands = in;
    operands[static_cast<size_t>(k)] = builder.tensor(part);
    return apply1(node.op->name(), operands, node.attrs, node.source);
  };
  const Tensor a = product(left), b = product(right);
  return {apply1(op, {a, b}, {}, node.source)};
}

}  // namespace

std::shared_ptr<Graph> distributed(const View& view, PassContext& context) {
  const auto count = static_cast<NodeId>(view.graph.nodes.size());
  bool any = false;
  for (NodeId id = 0; id < count && !any; ++id) any = is_wide_einsum(view, id) || sum_operand(view, id) >= 0;
  if (!any) return nullptr;
  const auto builder = Builder::make(context.module, view.graph.name);
  const TraceScope trace(builder);
  std::vector<Tensor> arguments;
  for (size_t i = 0; i < view.graph.inputs.size(); ++i) {
    const Node& n = view.graph.nodes[static_cast<size_t>(view.graph.inputs[i])];
    arguments.push_back(builder->input(view.graph.input_name(i), n.outputs[0], n.source));
  }
  // Nodes come by address: their place in the graph is their distance from the first.
  const auto replace = [&](const Node& node, const std::vector<Tensor>& in) -> std::vector<Tensor> {
    const auto id = static_cast<NodeId>(&node - view.graph.nodes.data());
    if (is_wide_einsum(view, id)) return narrowed(node, in);
    const int k = sum_operand(view, id);
    return k < 0 ? std::vector<Tensor>{} : split(*builder, node, in, k);
  };
  const std::vector<Tensor> out = inline_graph(*builder, view.graph, arguments, replace);
  for (size_t i = 0; i < out.size(); ++i) builder->output(view.graph.output_names[i], out[i]);
  auto graph = std::make_shared<Graph>(std::move(builder->graph()));
  graph->guards = view.graph.guards;
  return graph;
}

}  // namespace fovea::match
