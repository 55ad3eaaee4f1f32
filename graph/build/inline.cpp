#include "graph/build/inline.h"

#include "framework/base/error.h"

namespace fovea {

std::vector<Tensor> inline_graph(Builder& builder, const Graph& graph, const std::vector<Tensor>& args,
                                 const Replace& replace) {
  if (args.size() != graph.inputs.size())
    invalid("function '" + graph.name + "' takes " + std::to_string(graph.inputs.size()) +
            " arguments, got " + std::to_string(args.size()));
  std::vector<std::vector<Value>> map(graph.nodes.size());
  for (size_t i = 0; i < args.size(); ++i) {
    const Tensor a = builder.import(args[i]);
    if (a.type().dtype != graph.nodes[graph.inputs[i]].outputs[0].dtype)
      invalid("function '" + graph.name + "': argument " + std::to_string(i) + " is " + to_string(a.type()) +
              ", declared " + to_string(graph.nodes[graph.inputs[i]].outputs[0]));
    map[graph.inputs[i]] = {a.value()};
  }
  for (size_t id = 0; id < graph.nodes.size(); ++id) {
    const Node& node = graph.nodes[id];
    if (!map[id].empty()) continue;
    std::vector<Value> inputs;
    inputs.reserve(node.inputs.size());
    for (const Value& v : node.inputs) inputs.push_back(map[v.node][v.index]);
    if (replace) {
      std::vector<Tensor> in;
      in.reserve(inputs.size());
      for (const Value& v : inputs) in.push_back(builder.tensor(v));
      NodeOrigin origin(builder, node);
      std::vector<Tensor> out = replace(node, in);
      if (!out.empty()) {
        for (const Tensor& t : out) map[id].push_back(t.defined() ? t.value() : Value{});
        continue;
      }
    }
    const NodeId fresh = builder.add_node(*node.op, std::move(inputs), node.attrs, node.source, node.scope);
    for (size_t i = 0; i < node.outputs.size(); ++i) map[id].push_back({fresh, static_cast<int32_t>(i)});
  }
  for (const Guard& g : graph.guards) builder.graph().guards.push_back(g);
  std::vector<Tensor> out;
  for (const Value& v : graph.outputs) out.push_back(builder.tensor(map[v.node][v.index]));
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
