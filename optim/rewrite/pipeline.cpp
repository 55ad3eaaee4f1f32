#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "framework/base/error.h"
#include "graph/ir/op.h"
#include "graph/text/text.h"
#include "optim/attention/recognise.h"
#include "optim/passes/additive_scores.h"
#include "optim/passes/algebra.h"
#include "optim/passes/bias_gradients.h"
#include "optim/passes/cse.h"
#include "optim/passes/dce.h"
#include "optim/passes/fold.h"
#include "optim/passes/layout.h"
#include "optim/passes/linear_cross_entropy.h"
#include "optim/passes/pack_weights.h"
#include "optim/passes/regions.h"
#include "optim/passes/residual_norm.h"
#include "optim/rewrite/pass.h"
#include "optim/rewrite/selection.h"

namespace fovea {

const std::vector<Pass>& all_passes() {
  // Every pass with its stage, in the order in which they run. Duplicates merge before algebra looks for
  // equal operands; what folding and algebra leave behind merges once more before patterns are searched.
  static const auto* passes = new std::vector<Pass>{
      {"dce", Stage::forward, dead_code, kDeadCodeRules},
      {"fold", Stage::forward, fold_constants, kFoldRules},
      {"algebra", Stage::forward, algebra, algebra_rules()},
      {"cse", Stage::forward, common_subexpressions, kCommonSubexpressionRules, true},
      {"linear_cross_entropy", Stage::forward, fuse_linear_cross_entropy, kLinearCrossEntropyRules, true},
      {"additive_scores", Stage::forward, fuse_additive_scores, kAdditiveScoresRules, true},
      {"attention", Stage::forward, recognise_attention, kAttentionRules, true},
      {"layout", Stage::forward, attention_layout, kAttentionLayoutRules, true},
      {"residual_norm", Stage::forward, fuse_residual_norm, kResidualNormRules, true},
      {"dce", Stage::expanded, dead_code, kDeadCodeRules},
      {"cse", Stage::expanded, common_subexpressions, kCommonSubexpressionRules},
      {"fold", Stage::expanded, fold_constants, kFoldRules},
      {"algebra", Stage::expanded, algebra, algebra_rules()},
      {"layout", Stage::expanded, layout, kLayoutRules, true},
      {"cse", Stage::expanded, common_subexpressions, kCommonSubexpressionRules},
      {"pack", Stage::expanded, pack_weights, kPackWeightsRules, true},
      {"bias_gradients", Stage::expanded, fuse_bias_gradients, kBiasGradientsRules, true},
      {"regions", Stage::expanded, fuse_regions, kRegionRules, true},
  };
  return *passes;
}

namespace {

// Rules are few and counted in bulk, so one lock is enough.
struct Counts {
  std::mutex mutex;
  std::map<std::string, int64_t> fired;
};
Counts& counts() {
  static Counts* c = new Counts;
  return *c;
}

// FOVEA_PASSES as it reads now; it may change while the program runs. The changes are counted from when it
// did.
struct Settings {
  PassSelection selection;
  std::atomic<int64_t> changes = 0;
};
std::shared_ptr<Settings> settings() {
  static std::mutex mutex;
  static std::string text;
  static auto* current = new std::shared_ptr<Settings>(std::make_shared<Settings>());
  const char* variable = std::getenv("FOVEA_PASSES");
  std::lock_guard lock(mutex);
  if (text != (variable ? variable : "")) {
    std::set<std::string> names;
    for (const Pass& p : all_passes()) names.insert(p.name);
    auto fresh = std::make_shared<Settings>();
    fresh->selection = PassSelection::parse(variable ? variable : "", names);
    text = variable ? variable : "";
    *current = std::move(fresh);
  }
  return *current;
}

const char* name_of(Stage stage) { return stage == Stage::forward ? "forward" : "expanded"; }

void check_signature(const Graph& before, const Graph& after, const Pass& pass) {
  bool same = before.inputs.size() == after.inputs.size() && before.outputs.size() == after.outputs.size() &&
              before.output_names == after.output_names && before.name == after.name;
  for (size_t i = 0; same && i < before.inputs.size(); ++i)
    same = before.nodes[before.inputs[i]].outputs == after.nodes[after.inputs[i]].outputs;
  for (size_t i = 0; same && i < before.outputs.size(); ++i)
    same = before.type(before.outputs[i]) == after.type(after.outputs[i]);
  if (!same) invalid("pass " + std::string(pass.name) + " changed the signature of '" + before.name + "'");
}

// The result of one pass, or nullptr where it changed nothing or may not.
std::shared_ptr<Graph> run_pass(const Graph& graph, const Pass& pass, PassContext& context,
                                Settings& settings) {
  const PassSelection& selection = settings.selection;
  if (selection.until >= 0 && settings.changes >= selection.until) return nullptr;
  const auto start = std::chrono::steady_clock::now();
  auto result = pass.run(graph, context);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  if (selection.time)
    std::fprintf(stderr, "pass %-10s %-8s %s: %.3f ms, %s\n", pass.name, name_of(pass.stage),
                 graph.name.c_str(), took.count(), result ? "changed" : "unchanged");
  if (!result) return nullptr;
  const int64_t change = ++settings.changes;
  if (selection.until >= 0)
    std::fprintf(stderr, "change %lld: pass %s (%s) in %s\n", static_cast<long long>(change), pass.name,
                 name_of(pass.stage), graph.name.c_str());
  try {
    verify(*context.module, *result);
    check_signature(graph, *result, pass);
  } catch (const Error& e) {
    throw e.with_context("after pass " + std::string(pass.name));
  }
  return result;
}

std::shared_ptr<Graph> run_stage(const Graph& graph, Stage stage, PassContext& context,
                                 const std::string* last) {
  context.stage = stage;
  const auto now = settings();
  std::shared_ptr<Graph> current;
  for (const Pass& pass : all_passes()) {
    if (pass.stage != stage) continue;
    const Graph& input = current ? *current : graph;
    if (now->selection.runs(pass.name) && !(context.strict && pass.changes_numbers))
      if (auto changed = run_pass(input, pass, context, *now)) current = std::move(changed);
    if (now->selection.printed.count(pass.name)) {
      const std::string text = print(*context.module, current ? *current : graph);
      std::fprintf(stderr, "after pass %s (%s):\n%s", pass.name, name_of(stage), text.c_str());
    }
    if (last && *last == pass.name) break;
  }
  return current ? current : std::make_shared<Graph>(graph);
}

}  // namespace

void PassContext::fired(const char* rule, int64_t times) {
  if (times == 0) return;
  Counts& c = counts();
  std::lock_guard lock(c.mutex);
  c.fired[rule] += times;
}

std::shared_ptr<Graph> run_passes(const Graph& graph, Stage stage, PassContext& context) {
  return run_stage(graph, stage, context, nullptr);
}

std::shared_ptr<Graph> run_passes_until(const Graph& graph, Stage stage, PassContext& context,
                                        const std::string& last) {
  return run_stage(graph, stage, context, &last);
}

std::map<std::string, int64_t> rule_counts() {
  Counts& c = counts();
  std::map<std::string, int64_t> out;
  for (const Pass& pass : all_passes())
    for (const char* rule : pass.rules) out[rule];
  std::lock_guard lock(c.mutex);
  for (const auto& [rule, times] : c.fired) out[rule] += times;
  return out;
}

void reset_rule_counts() {
  Counts& c = counts();
  std::lock_guard lock(c.mutex);
  c.fired.clear();
}

}  // namespace fovea
