// A pass: a graph in, an equal and better graph out.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "graph/ir/graph.h"
#include "optim/explain/record.h"

namespace fovea {

/// When a pass runs.
enum class Stage {
  forward,   ///< on every function, before gradients are expanded
  expanded,  ///< on the whole graph, gradients expanded
};

/// What a pass may use and report besides the graph.
struct PassContext {
  std::shared_ptr<Module> module;                ///< constants, scopes, functions
  std::string backend = "cpu";                   ///< the backend that will run the graph
  std::vector<FusionRecord>* records = nullptr;  ///< explain; nullptr: nobody listens
  Stage stage = Stage::forward;                  ///< set by run_passes
  bool strict = false;                           ///< skip passes that change numbers
  bool recomputes = false;  ///< memory is limited: keep apart what is cheap to compute again
  /// Counts that the rule fired.
  void fired(const char* rule, int64_t times = 1);
};

/// Returns the new graph, or nullptr where nothing changed. Must not change the graph it is given.
using PassFn = std::shared_ptr<Graph> (*)(const Graph& graph, PassContext& context);

/// A pass and what is known of it.
struct Pass {
  const char* name;
  Stage stage;
  PassFn run;
  std::vector<const char*> rules;  ///< names of the rules it may fire; a test asserts that all of them do
  bool changes_numbers = false;    ///< results may round differently: numerics = strict skips it
};

/// All passes in the order in which they run.
const std::vector<Pass>& all_passes();

/// Runs the passes of a stage. Verifies after every change. FOVEA_PASSES selects and traces:
/// "-cse,-attention" skips, "only:fold,dce", "time", "print:cse", "until:7" (only the first 7 changes:
/// bisect).
std::shared_ptr<Graph> run_passes(const Graph& graph, Stage stage, PassContext& context);
/// The same up to and including the named pass, for fovea graph --after.
std::shared_ptr<Graph> run_passes_until(const Graph& graph, Stage stage, PassContext& context,
                                        const std::string& last);

/// How often every rule has fired in this process; rules that passes declare are there with 0.
std::map<std::string, int64_t> rule_counts();
void reset_rule_counts();

}  // namespace fovea
