#include "graph/build/inline.h"

#include "framework/base/error.h"

namespace fovea {
namespace {

// A node whose operands have the types they had needs no second check; its guards come with the function's.
NodeId copy_node(Builder& builder, const Graph& from, const Node& node, std::vector<Value> inputs) {
  std::vector<Node>& nodes = builder.graph().nodes;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (!(builder.graph().type(inputs[i]) == from.type(node.inputs[i])))
      return builder.add_node(*node.op, std::move(inputs), node.attrs, node.source, node.scope);
  nodes.push_back({node.op, node.attrs, std::move(inputs), node.outputs, node.source, node.scope});
  return static_cast<NodeId>(nodes.size()) - 1;
}

}  // namespace

std::vector<Tensor> inline_graph(Builder& builder, const Graph& graph, const std::vector<Tensor>& args,
                                 const Replace& replace, const Replaceable& replaceable) {
  if (args.size() != graph.inputs.size())
    invalid("function '" + graph.name + "' takes " + std::to_string(graph.inputs.size()) +
            " arguments, got " + std::to_string(args.size()));
  // The values of node n's outputs are at values[first[n]] and behind.
  std::vector<int32_t> first(graph.nodes.size(), -1);
  std::vector<Value> values;
  values.reserve(graph.nodes.size());
  for (size_t i = 0; i < args.size(); ++i) {
    const Tensor a = builder.import(args[i]);
    if (a.type().dtype != graph.nodes[graph.inputs[i]].outputs[0].dtype)
      invalid("function '" + graph.name + "': argument " + std::to_string(i) + " is " + to_string(a.type()) +
              ", declared " + to_string(graph.nodes[graph.inputs[i]].outputs[0]));
    first[graph.inputs[i]] = static_cast<int32_t>(values.size());
    values.push_back(a.value());
  }
  for (size_t id = 0; id < graph.nodes.size(); ++id) {
    const Node& node = graph.nodes[id];
    if (first[id] >= 0) continue;
    first[id] = static_cast<int32_t>(values.size());
    std::vector<Value> inputs;
    inputs.reserve(node.inputs.size());
    for (const Value& v : node.inputs) inputs.push_back(values[first[v.node] + v.index]);
    if (replace && (!replaceable || replaceable(node))) {
      std::vector<Tensor> in;
      in.reserve(inputs.size());
      for (const Value& v : inputs) in.push_back(builder.tensor(v));
      NodeOrigin origin(builder, node);
      const std::vector<Tensor> out = replace(node, in);
      if (!out.empty()) {
        for (const Tensor& t : out) values.push_back(t.defined() ? t.value() : Value{});
        continue;
      }
    }
    const NodeId fresh = copy_node(builder, graph, node, std::move(inputs));
    for (size_t i = 0; i < node.outputs.size(); ++i) values.push_back({fresh, static_cast<int32_t>(i)});
  }
  for (const Guard& g : graph.guards) builder.graph().guards.push_back(g);
  std::vector<Tensor> out;
  for (const Value& v : graph.outputs) out.push_back(builder.tensor(values[first[v.node] + v.index]));
  return out;
}

std::vector<bool> reachable_from_inputs(const Graph& graph, const std::vector<int64_t>& wrt) {
  std::vector<bool> reached(graph.nodes.size(), false);
  for (int64_t i : wrt) {
    if (i < 0 || static_cast<size_t>(i) >= graph.inputs.size())
      invalid("gradient with respect to argument " + std::to_string(i) + " of a function with " +
              std::to_string(graph.inputs.size()) + " arguments");
    reached[graph.inputs[i]] = true;
  }
  for (size_t id = 0; id < graph.nodes.size(); ++id) {
    if (reached[id]) continue;
    const Node& node = graph.nodes[id];
    if (!node.op->is_differentiable()) continue;
    for (const Value& v : node.inputs)
      if (reached[v.node] && is_floating(graph.type(v).dtype)) reached[id] = true;
  }
  return reached;
}

}  // namespace fovea
