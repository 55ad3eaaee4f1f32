#include <algorithm>

#include "framework/base/error.h"
#include "optim/lower/lower.h"

namespace fovea {
namespace {

std::string argument(const Graph& graph, size_t i) {
  const std::string& name = graph.input_name(i);
  return "argument " + std::to_string(i) + (name.empty() ? "" : " ('" + name + "')");
}

void check_guard(const Guard& g, const Bindings& bindings) {
  const auto a = g.a.eval(bindings), b = g.b.eval(bindings);
  if (!a || !b) return;  // symbols of a branch that was not taken
  const bool holds = g.divides ? *b != 0 && *a % *b == 0 : *a == *b;
  if (holds) return;
  std::string text = g.what + " (" + g.a.str() + " is " + std::to_string(*a) + ", " + g.b.str() + " is " +
                     std::to_string(*b) + ")";
  if (*g.source.file) text += std::string("\n  at ") + g.source.file + ":" + std::to_string(g.source.line);
  invalid(text);
}

}  // namespace

Bindings bind_symbols(const Graph& graph, const std::vector<PlanOperand>& in) {
  if (in.size() != graph.inputs.size())
    invalid("function '" + graph.name + "' takes " + std::to_string(graph.inputs.size()) +
            " arguments, got " + std::to_string(in.size()));
  Bindings bindings;
  // Lone symbols first: expressions can be checked once they are known.
  for (int round = 0; round < 2; ++round)
    for (size_t i = 0; i < in.size(); ++i) {
      const TensorType& want = graph.nodes[graph.inputs[i]].outputs[0];
      const std::string declared = ": declared " + to_string(want) + ", given " +
                                   std::string(to_string(in[i].dtype)) + to_string(in[i].shape);
      if (in[i].dtype != want.dtype) invalid(argument(graph, i) + " has another element type" + declared);
      if (in[i].shape.size() != want.shape.size())
        invalid(argument(graph, i) + " has another rank" + declared);
      for (size_t d = 0; d < want.shape.size(); ++d) {
        const Dim& w = want.shape[d];
        const int64_t have = in[i].shape[d];
        if (round == 0) {
          if (!w.is_symbol()) continue;
          const std::string name = w.str();
          if (std::none_of(bindings.begin(), bindings.end(), [&](auto& b) { return b.first == name; }))
            bindings.emplace_back(name, have);
          continue;
        }
        const auto value = w.eval(bindings);
        if (!value)
          invalid(argument(graph, i) + ": nothing determines the symbols of axis " + std::to_string(d) +
                  " (" + w.str() + ")" + declared);
        if (*value != have)
          invalid(argument(graph, i) + ": axis " + std::to_string(d) + " should be " +
                  (w.is_const() ? "" : w.str() + " = ") + std::to_string(*value) + ", is " +
                  std::to_string(have) + declared);
      }
    }
  for (const Guard& g : graph.guards) check_guard(g, bindings);
  return bindings;
}

}  // namespace fovea
