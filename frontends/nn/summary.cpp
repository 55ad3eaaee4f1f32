#include "frontends/nn/summary.h"

#include <fmt/format.h>

#include <algorithm>

#include "framework/base/checked.h"
#include "frontends/nn/flops.h"
#include "graph/ir/op.h"

namespace fovea::nn {
namespace {

SummaryRow& row_of(std::vector<SummaryRow>& rows, std::string_view path) {
  auto at = std::find_if(rows.begin(), rows.end(), [&](const SummaryRow& r) { return r.path == path; });
  if (at != rows.end()) return *at;
  rows.push_back({std::string(path), "", 0, 0, 0});
  return rows.back();
}

// "", "a", "a.b", "a.b.c"
std::vector<std::string_view> prefixes(std::string_view path) {
  std::vector<std::string_view> out{{}};
  for (size_t i = 0; i < path.size(); ++i)
    if (path[i] == '.') out.push_back(path.substr(0, i));
  if (!path.empty()) out.push_back(path);
  return out;
}

std::string thousands(int64_t n) {
  std::string digits = std::to_string(n);
  for (size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

int64_t result_bytes(const Node& n, const Bindings& sizes) {
  if (n.op->is_view() || n.op->name() == "input" || n.op->name() == "constant") return 0;
  int64_t total = 0;
  for (const TensorType& t : n.outputs)
    total = checked_add(total, checked_mul(product(evaluate(t.shape, sizes)), size_of(t.dtype)));
  return total;
}

}  // namespace

Summary summary(const Module& model, const Function& forward, const std::vector<Spec>& args,
                const Bindings& sizes) {
  const auto module = trace(forward, args);
  const Graph& graph = module->function("main");
  Summary s;
  row_of(s.rows, "");
  for (const Node& n : graph.nodes) {
    const int64_t work = flops(*module, graph, n, sizes), bytes = result_bytes(n, sizes);
    for (const std::string_view path : prefixes(module->scopes[n.scope])) {
      SummaryRow& row = row_of(s.rows, path);
      if (!n.outputs.empty()) row.output = to_string(n.outputs[0]);
      row.flops = checked_add(row.flops, work);
      row.bytes = checked_add(row.bytes, bytes);
    }
  }
  if (!graph.outputs.empty()) s.rows[0].output = to_string(graph.type(graph.outputs[0]));
  for (const NamedParameter& p : model.parameters())
    if (p.parameter.trainable())
      for (const std::string_view path : prefixes(p.name))
        if (path != p.name) row_of(s.rows, path).parameters += product(p.parameter.shape());
  return s;
}

std::string Summary::str() const {
  size_t path = 6, output = 6;
  for (const SummaryRow& r : rows)
    path = std::max(path, r.path.size()), output = std::max(output, r.output.size());
  std::string text = fmt::format("{:<{}}  {:<{}}  {:>14}  {:>18}  {:>16}\n", "module", path, "output", output,
                                 "parameters", "flops", "bytes");
  for (const SummaryRow& r : rows)
    text += fmt::format("{:<{}}  {:<{}}  {:>14}  {:>18}  {:>16}\n", r.path.empty() ? "(all)" : r.path, path,
                        r.output, output, thousands(r.parameters), thousands(r.flops), thousands(r.bytes));
  return text;
}

}  // namespace fovea::nn
