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

bool is_bound(const Bindings& bindings, const std::string& name) {
  return std::any_of(bindings.begin(), bindings.end(), [&](const auto& b) { return b.first == name; });
}

// Solves want = have for the one symbol of `want` that is not bound and that it is linear in: 4*n + 1 = 25.
bool solve(const Dim& want, int64_t have, Bindings& bindings) {
  std::vector<std::string> names;
  want.symbols(names);
  std::string open;
  for (const std::string& name : names) {
    if (is_bound(bindings, name) || name == open) continue;
    if (!open.empty()) return false;
    open = name;
  }
  if (open.empty()) return false;
  const auto at = [&](int64_t n) {
    Bindings with = bindings;
    with.emplace_back(open, n);
    return *want.eval(with);
  };
  const int64_t zero = at(0), step = at(1) - zero;
  if (step == 0 || at(2) - zero != 2 * step || (have - zero) % step != 0 || (have - zero) / step < 0)
    return false;
  bindings.emplace_back(open, (have - zero) / step);
  return true;
}

// Symbols that stand nowhere alone.
void solve_symbols(const Graph& graph, const std::vector<PlanOperand>& in, Bindings& bindings) {
  for (bool found = true; found;) {
    found = false;
    for (size_t i = 0; i < in.size(); ++i) {
      const Shape& want = graph.nodes[graph.inputs[i]].outputs[0].shape;
      for (size_t d = 0; d < want.size(); ++d)
        if (!want[d].is_const() && !want[d].is_symbol())
          found = solve(want[d], in[i].shape[d], bindings) || found;
    }
  }
}

}  // namespace

Bindings bind_symbols(const Graph& graph, const std::vector<PlanOperand>& in) {
  if (in.size() != graph.inputs.size())
    invalid("function '" + graph.name + "' takes " + std::to_string(graph.inputs.size()) +
            " arguments, got " + std::to_string(in.size()));
  Bindings bindings;
  // Lone symbols first: expressions can be checked once they are known.
  for (int round = 0; round < 2; ++round) {
    if (round == 1) solve_symbols(graph, in, bindings);
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
          if (!is_bound(bindings, name)) bindings.emplace_back(name, have);
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
  }
  for (const Guard& g : graph.guards) check_guard(g, bindings);
  return bindings;
}

}  // namespace fovea
