#include "optim/rewrite/optimise.h"

#include <set>

#include "graph/autodiff/vjp.h"
#include "graph/build/builder.h"
#include "graph/build/inline.h"
#include "graph/ir/op.h"
#include "graph/ir/structure.h"

namespace fovea {
namespace {

template <class F>
void each_callee(const Graph& graph, F&& f) {
  for (const Node& node : graph.nodes)
    for (const auto& [name, value] : node.attrs)
      if (const auto* ref = std::get_if<FunctionRef>(&value)) f(ref->name);
}

bool has_calls(const Graph& graph) {
  for (const Node& node : graph.nodes)
    if (node.op->name() == "call") return true;
  return false;
}

// Guards come with the nodes as they are added again, and once more with the function.
void drop_repeated_guards(Graph& graph) {
  std::set<std::string> seen;
  std::vector<Guard> kept;
  for (Guard& g : graph.guards)
    if (seen.insert(g.a.str() + (g.divides ? "|" : "=") + g.b.str() + " " + g.what).second)
      kept.push_back(std::move(g));
  graph.guards = std::move(kept);
}

// Callees hold no calls themselves any more.
std::shared_ptr<Graph> inline_calls(const std::shared_ptr<Module>& module, const Graph& graph) {
  auto builder = Builder::make(module, graph.name);
  std::vector<Tensor> args;
  for (NodeId id : graph.inputs) {
    const Node& n = graph.nodes[id];
    args.push_back(builder->input(n.attrs.text("name"), n.outputs[0], n.source));
  }
  const auto out = inline_graph(
      *builder, graph, args, [&](const Node& node, const std::vector<Tensor>& in) -> std::vector<Tensor> {
        if (node.op->name() != "call") return {};
        return inline_graph(*builder, module->function(node.attrs.function("function")), in);
      });
  for (size_t i = 0; i < out.size(); ++i) builder->output(graph.output_names[i], out[i]);
  drop_repeated_guards(builder->graph());
  return std::make_shared<Graph>(std::move(builder->graph()));
}

}  // namespace

std::vector<std::string> reachable_functions(const Module& module, const std::string& function) {
  std::set<std::string> reached{function};
  std::vector<std::string> open{function};
  while (!open.empty()) {
    const Graph& graph = module.function(open.back());
    open.pop_back();
    each_callee(graph, [&](const std::string& name) {
      if (reached.insert(name).second) open.push_back(name);
    });
  }
  std::vector<std::string> out;
  for (std::string& name : callees_first(module))
    if (reached.count(name)) out.push_back(std::move(name));
  return out;
}

std::shared_ptr<Graph> optimise(const std::string& function, PassContext& context) {
  Module& module = *context.module;
  for (const std::string& name : reachable_functions(module, function)) {
    std::shared_ptr<Graph> graph = module.functions.at(name);
    if (has_calls(*graph)) graph = inline_calls(context.module, *graph);
    module.functions[name] = run_passes(*graph, Stage::forward, context);
  }
  // All are expanded before any of them is optimised further: gradients are taken of the forms above.
  std::map<std::string, std::shared_ptr<Graph>> expanded;
  std::vector<std::string> open{function};
  while (!open.empty()) {
    const std::string name = open.back();
    open.pop_back();
    if (expanded.count(name)) continue;
    auto& graph = expanded[name] = expand_functions(context.module, module.function(name));
    drop_repeated_guards(*graph);
    each_callee(*graph, [&](const std::string& callee) { open.push_back(callee); });
  }
  for (auto& [name, graph] : expanded) module.functions[name] = graph;
  for (auto& [name, graph] : expanded) module.functions[name] = run_passes(*graph, Stage::expanded, context);
  return module.functions.at(function);
}

}  // namespace fovea
