#include "frontends/tools/fuzz/judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "framework/base/error.h"
#include "frontends/tools/fuzz/contract.h"
#include "frontends/tools/fuzz/mutate.h"
#include "graph/autodiff/vjp.h"
#include "graph/ir/op.h"
#include "graph/text/text.h"
#include "optim/lower/program.h"
#include "optim/rewrite/pass.h"

namespace fovea::tools {
namespace {

// How far whole-numbered results may be apart: not at all, but gradients divide (ties of max, means).
double slack(const FuzzCase& fuzz) { return std::max(fuzz.tolerance, fuzz.gradients ? 1e-6 : 0.0); }

std::string difference(const Array& got, const Array& want, const FuzzCase& fuzz, Judgement& judged) {
  if (got.dtype() != want.dtype() || got.shape() != want.shape()) return "its type differs";
  ++judged.results;
  double largest = 0;
  const Array a = got.contiguous(), b = want.contiguous();
  for (int64_t i = 0; i < b.size(); ++i)
    if (const double v = std::abs(b.get_flat(i)); std::isfinite(v)) largest = std::max(largest, v);
  // Beyond these numbers are not whole any more.
  if (!fuzz.special && largest > (b.dtype() == DType::f32 ? 4e6 : 1e15)) return ++judged.too_large, "";
  for (int64_t i = 0; i < b.size(); ++i) {
    const double x = a.get_flat(i), y = b.get_flat(i);
    if ((std::isnan(x) && std::isnan(y)) || x == y) {
      if (fuzz.special && x == 0 && std::signbit(x) != std::signbit(y))
        return fmt::format("element {} is {} instead of {}", i, x, y);
      continue;
    }
    if (!(std::abs(x - y) <= slack(fuzz) * std::max(1.0, largest)))
      return fmt::format("element {} is {:.17g} instead of {:.17g}", i, x, y);
  }
  return "";
}

std::string compare(const Outcome& got, const Outcome& want, const FuzzCase& fuzz, Judgement& judged) {
  if (got.error.empty() != want.error.empty())
    return got.error.empty() ? "it runs, untouched it fails: " + want.error : "it fails: " + got.error;
  for (size_t i = 0; i < got.out.size(); ++i)
    if (const std::string text = difference(got.out[i], want.out[i], fuzz, judged); !text.empty())
      return fmt::format("result {}: {}", i, text);
  return "";
}

// The module with its function rewritten by one pass; null where that changes nothing.
std::shared_ptr<Module> after(const FuzzCase& fuzz, const std::string& function, const Pass& pass,
                              const std::shared_ptr<Graph>& expanded) {
  const bool forward = pass.stage == Stage::forward;
  auto module = std::make_shared<Module>(*fuzz.module);
  PassContext context{module, "reference", nullptr, pass.stage};
  const std::string target = forward ? "main" : function;
  auto graph = pass.run(forward ? module->function(target) : *expanded, context);
  if (!graph) return nullptr;
  verify(*module, *graph);
  module->functions[target] = graph;
  return module;
}

Judgement report(const FuzzCase& fuzz, const std::string& what, const std::string& problem,
                 Judgement judged = {}) {
  std::string sizes;
  for (const auto& [symbol, n] : fuzz.sizes) sizes += fmt::format("{} = {}\n", symbol, n);
  judged.problem = fmt::format("{}: {}\n{}{}", what, problem, sizes, print(*fuzz.module));
  return judged;
}

bool knows_attention() {
  static const bool known = std::any_of(all_passes().begin(), all_passes().end(),
                                        [](const Pass& p) { return p.name == std::string("attention"); });
  return known;
}

std::string why_not(const std::vector<FusionRecord>& records) {
  std::string text;
  for (const FusionRecord& r : records)
    if (r.region == "attention" && !r.fused) text += " " + code_of(r) + " at " + r.node + ": " + r.sentence;
  return text.empty() ? " no record says why" : text;
}

}  // namespace

Judgement judge_attention(const FuzzCase& fuzz) {
  const std::string function = fuzz.gradients ? "gradients" : "main";
  const Outcome exact = run(widened(*fuzz.module), function, widened(fuzz.arguments), "reference", false);
  Outcome got;
  Judgement judged;
  std::string scores;
  try {
    Program program(fuzz.module, function);
    judged.fused = std::any_of(program.graph().nodes.begin(), program.graph().nodes.end(),
                               [](const Node& n) { return n.op->name() == "attention"; });
    if (fuzz.attention && knows_attention() && !judged.fused)
      return report(fuzz, "it is not fused", why_not(program.records()), judged);
    for (const FusionRecord& r : program.records())
      if (r.region == "attention" && r.fused) scores += "\nfused: " + r.score;
    got.out = program.run(fuzz.arguments);
  } catch (const Error& e) {
    got.error = e.what();
  }
  judged.failed = !got.error.empty() && !exact.error.empty();
  if (judged.failed) return judged;
  if (got.error.empty() != exact.error.empty()) return report(fuzz, "it fails", got.error + exact.error);
  Contract contract(fuzz, function, exact.out);
  for (size_t i = 0; i < got.out.size(); ++i) {
    if (!is_floating(got.out[i].dtype())) continue;
    ++judged.results;
    if (const std::string text = contract.broken(got.out, i); !text.empty())
      return report(fuzz, fmt::format("result {}", i), text + scores, judged);
  }
  return judged;
}

Judgement judge_graph(const FuzzCase& fuzz) {
  const std::string function = fuzz.gradients ? "gradients" : "main";
  const Outcome want = run(fuzz.module, function, fuzz.arguments, "reference", false);
  Judgement judged;
  judged.failed = !want.error.empty();
  // Special numbers: no pass may run that changes even the sign of a zero.
  for (const char* backend : {"reference", "cpu"}) {
    if (fuzz.special && backend == std::string("cpu")) continue;  // its kernels round in their own ways
    const Outcome got = run(fuzz.module, function, fuzz.arguments, backend, true, fuzz.special);
    if (const std::string problem = compare(got, want, fuzz, judged); !problem.empty())
      return report(fuzz, std::string("all passes, ") + backend, problem);
  }
  const auto scratch = std::make_shared<Module>(*fuzz.module);
  std::shared_ptr<Graph> expanded;
  for (const Pass& pass : all_passes()) {
    if (pass.changes_numbers && fuzz.special) continue;
    if (pass.stage == Stage::expanded && !expanded)
      expanded = expand_functions(scratch, scratch->function(function));
    FuzzCase one = fuzz;
    one.module = scratch;
    const auto module = after(pass.stage == Stage::expanded ? one : fuzz, function, pass, expanded);
    if (!module) continue;
    const Outcome got = run(module, function, fuzz.arguments, "reference", false);
    if (const std::string problem = compare(got, want, fuzz, judged); !problem.empty())
      return report(
          fuzz,
          fmt::format("pass {} ({}) alone", pass.name, pass.stage == Stage::forward ? "forward" : "expanded"),
          problem);
  }
  return judged;
}

}  // namespace fovea::tools
