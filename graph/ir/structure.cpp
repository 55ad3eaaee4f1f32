#include "graph/ir/structure.h"

#include <algorithm>
#include <set>

#include "framework/base/error.h"
#include "graph/ir/op.h"

namespace fovea {
namespace {

[[noreturn]] void broken(const Graph& graph, const std::string& rule) {
  invalid("function '" + graph.name + "': " + rule);
}

// `reader`: the node that reads v, or the number of nodes for the function's result.
void check_value(const Graph& graph, Value v, int64_t reader) {
  auto who = [&] {
    return reader == static_cast<int64_t>(graph.nodes.size()) ? "the result"
                                                              : "node " + std::to_string(reader);
  };
  if (v.node < 0 || v.node >= reader)
    broken(graph, who() + " reads node " + std::to_string(v.node) + ", which does not come before it");
  const size_t outputs = graph.nodes[v.node].outputs.size();
  if (v.index < 0 || static_cast<size_t>(v.index) >= outputs)
    broken(graph, who() + " reads output " + std::to_string(v.index) + " of node " + std::to_string(v.node) +
                      ", which has " + std::to_string(outputs));
}

void check_graph(const Graph& graph) {
  const int64_t count = static_cast<int64_t>(graph.nodes.size());
  for (int64_t id = 0; id < count; ++id)
    for (const Value& v : graph.nodes[id].inputs) check_value(graph, v, id);
  for (const Value& v : graph.outputs) check_value(graph, v, count);
  if (graph.output_names.size() != graph.outputs.size())
    broken(graph, "has " + std::to_string(graph.outputs.size()) + " outputs and " +
                      std::to_string(graph.output_names.size()) + " names for them");
  std::vector<bool> seen(graph.nodes.size());
  for (NodeId id : graph.inputs) {
    if (id < 0 || id >= count) broken(graph, "argument node " + std::to_string(id) + " does not exist");
    const Node& node = graph.nodes[id];
    if (!node.op || node.op->name() != "input" || node.outputs.size() != 1)
      broken(graph, "argument node " + std::to_string(id) + " is not an input");
    if (seen[id]) broken(graph, "node " + std::to_string(id) + " is two of its arguments");
    seen[id] = true;
  }
}

std::vector<const Graph*> callees(const Module& module, const Graph& graph) {
  std::set<std::string_view> names;
  for (const Node& node : graph.nodes)
    for (const auto& [name, value] : node.attrs)
      if (const auto* f = std::get_if<FunctionRef>(&value)) names.insert(f->name);
  std::vector<const Graph*> out;
  for (std::string_view name : names)
    if (auto at = module.functions.find(std::string(name)); at != module.functions.end())
      out.push_back(at->second.get());
  return out;
}

}  // namespace

std::vector<std::string> callees_first(const Module& module) {
  // Depth first with a stack of its own: calls may be nested as deep as there are functions.
  struct Frame {
    const Graph* graph;
    std::vector<const Graph*> left;
  };
  enum class Mark : uint8_t { open, done };
  std::map<const Graph*, Mark> marks;
  std::vector<std::string> order;
  for (const auto& [name, root] : module.functions) {
    if (marks.count(root.get())) continue;
    std::vector<Frame> stack;
    auto enter = [&](const Graph* graph) {
      marks[graph] = Mark::open;
      stack.push_back({graph, callees(module, *graph)});
    };
    enter(root.get());
    while (!stack.empty()) {
      Frame& top = stack.back();
      if (top.left.empty()) {
        marks[top.graph] = Mark::done;
        order.push_back(top.graph->name);
        stack.pop_back();
        continue;
      }
      const Graph* next = top.left.back();
      top.left.pop_back();
      const auto mark = marks.find(next);
      if (mark == marks.end())
        enter(next);
      else if (mark->second == Mark::open)
        broken(*next, "calls itself");
    }
  }
  return order;
}

void verify_structure(const Module& module) {
  for (const auto& [name, graph] : module.functions) {
    if (!graph) invalid("function '" + name + "' has no graph");
    if (graph->name != name) invalid("function '" + name + "' is named '" + graph->name + "' inside");
    check_graph(*graph);
  }
  callees_first(module);
}

}  // namespace fovea
