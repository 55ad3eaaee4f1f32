#include "optim/rewrite/optimise.h"

#include <set>

#include "framework/base/error.h"
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

namespace {

// Every function on the way, calls inlined, through the passes of the first stage.
void run_forward(const std::string& function, PassContext& context, const std::string& last) {
  Module& module = *context.module;
  for (const std::string& name : reachable_functions(module, function)) {
    std::shared_ptr<Graph> graph = module.functions.at(name);
    if (has_calls(*graph)) graph = inline_calls(context.module, *graph);
    module.functions[name] = run_passes_until(*graph, Stage::forward, context, last);
  }
}

// All are expanded before any of them is optimised further: gradients are taken of the forms before.
void run_expanded(const std::string& function, PassContext& context, const std::string& last) {
  Module& module = *context.module;
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
  for (auto& [name, graph] : expanded)
    module.functions[name] = run_passes_until(*graph, Stage::expanded, context, last);
}

}  // namespace

std::shared_ptr<Graph> optimise(const std::string& function, PassContext& context) {
  run_forward(function, context, "");
  run_expanded(function, context, "");
  return context.module->functions.at(function);
}

std::shared_ptr<Graph> optimise_until(const std::string& function, PassContext& context,
                                      const std::string& last) {
  constexpr std::string_view kMark = "expanded:";
  const bool expanded = last.starts_with(kMark);
  const std::string pass = expanded ? last.substr(kMark.size()) : last;
  const Stage stage = expanded ? Stage::expanded : Stage::forward;
  std::string known;
  bool found = false;
  for (const Pass& p : all_passes()) {
    found = found || (p.stage == stage && pass == p.name);
    known +=
        std::string(known.empty() ? "" : ", ") + (p.stage == Stage::expanded ? kMark.data() : "") + p.name;
  }
  if (!found) invalid("there is no pass '" + last + "'; in their order they are " + known);
  run_forward(function, context, expanded ? "" : pass);
  if (expanded) run_expanded(function, context, pass);
  return context.module->functions.at(function);
}

}  // namespace fovea
