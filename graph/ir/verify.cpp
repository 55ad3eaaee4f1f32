#include "framework/base/error.h"
#include "graph/build/tensor.h"
#include "graph/ir/graph.h"
#include "graph/ir/op.h"

namespace fovea {
namespace {

[[noreturn]] void broken(const Graph& graph, size_t node, const std::string& rule) {
  std::string text = "function '" + graph.name + "', node " + std::to_string(node);
  if (node < graph.nodes.size() && graph.nodes[node].op) text += " (" + graph.nodes[node].op->name() + ")";
  invalid(text + ": " + rule);
}

void verify_node(const Module& module, const Graph& graph, size_t id) {
  const Node& node = graph.nodes[id];
  if (!node.op) broken(graph, id, "has no op");
  std::vector<TensorType> in;
  in.reserve(node.inputs.size());
  for (const Value& v : node.inputs) {
    if (v.node < 0 || static_cast<size_t>(v.node) >= id)
      broken(graph, id, "reads node " + std::to_string(v.node) + ", which does not come before it");
    if (v.index < 0 || static_cast<size_t>(v.index) >= graph.nodes[v.node].outputs.size())
      broken(graph, id,
             "reads output " + std::to_string(v.index) + " of node " + std::to_string(v.node) +
                 ", which has " + std::to_string(graph.nodes[v.node].outputs.size()));
    in.push_back(graph.type(v));
  }
  for (const auto& [name, value] : node.attrs)
    if (const FunctionRef* f = std::get_if<FunctionRef>(&value); f && !module.functions.count(f->name))
      broken(graph, id, "names the function '" + f->name + "', which the module does not have");
  Attrs attrs = node.attrs;
  std::vector<TensorType> out;
  try {
    out = node.op->check(attrs, in, &module, nullptr);
  } catch (const Error& e) {
    broken(graph, id, e.message());
  }
  if (!(attrs == node.attrs)) broken(graph, id, "attributes are not in normal form");
  if (out.size() != node.outputs.size())
    broken(graph, id,
           "has " + std::to_string(node.outputs.size()) + " outputs, its op infers " +
               std::to_string(out.size()));
  for (size_t i = 0; i < out.size(); ++i)
    if (!(out[i] == node.outputs[i]))
      broken(graph, id,
             "output " + std::to_string(i) + " is " + to_string(node.outputs[i]) + ", its op infers " +
                 to_string(out[i]));
  if (node.op->name() == "constant") {
    const int64_t index = node.attrs.integer("index");
    if (index < 0 || static_cast<size_t>(index) >= module.constants.size())
      broken(graph, id,
             "reads constant " + std::to_string(index) + " of " + std::to_string(module.constants.size()));
    const Array& c = module.constants[index];
    if (!(TensorType{c.dtype(), to_shape(c.shape())} == node.outputs[0]))
      broken(graph, id,
             "is " + to_string(node.outputs[0]) + ", its constant is " +
                 to_string(TensorType{c.dtype(), to_shape(c.shape())}));
  }
  if (node.scope < 0 || static_cast<size_t>(node.scope) >= module.scopes.size())
    broken(graph, id,
           "has scope " + std::to_string(node.scope) + " of " + std::to_string(module.scopes.size()));
}

}  // namespace

void verify(const Module& module, const Graph& graph) {
  for (size_t id = 0; id < graph.nodes.size(); ++id) verify_node(module, graph, id);
  for (NodeId id : graph.inputs)
    if (id < 0 || static_cast<size_t>(id) >= graph.nodes.size() || graph.nodes[id].op->name() != "input")
      invalid("function '" + graph.name + "': argument node " + std::to_string(id) + " is not an input");
  if (graph.output_names.size() != graph.outputs.size())
    invalid("function '" + graph.name + "' has " + std::to_string(graph.outputs.size()) + " outputs and " +
            std::to_string(graph.output_names.size()) + " names for them");
  for (const Value& v : graph.outputs)
    if (v.node < 0 || static_cast<size_t>(v.node) >= graph.nodes.size() || v.index < 0 ||
        static_cast<size_t>(v.index) >= graph.nodes[v.node].outputs.size())
      invalid("function '" + graph.name + "' returns a value that does not exist: node " +
              std::to_string(v.node));
}

void verify(const Module& module) {
  for (const auto& [name, graph] : module.functions) verify(module, *graph);
}

}  // namespace fovea
