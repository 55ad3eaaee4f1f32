// A compiled function: symbolic graph in, plans for concrete shapes out, kept in a bounded cache.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "framework/runtime/plan.h"
#include "graph/ir/graph.h"
#include "optim/explain/record.h"

namespace fovea {

/// How a function is compiled.
struct CompileOptions {
  std::string backend = "cpu";              ///< "reference" runs everything unfused in plain loops
  std::vector<std::pair<int, int>> donate;  ///< (input, output): the output may take over the input's memory
  size_t max_plans = 512;                   ///< plans kept; the least recently used go first
  /// False: the operations as they were traced. Where it is left open, passes run on every backend but
  /// "reference".
  std::optional<bool> optimise;
  /// "strict": exactly the user's operations; passes that round differently, attention included, are skipped.
  std::string numerics = "default";
  /// Bytes that values between the arguments and the results may take while a plan runs; 0: any number. Where
  /// more is needed, values are computed again instead of being kept (Plan::recomputed says what that costs);
  /// ResourceExhausted, naming the least that can be reached, where that is not enough.
  int64_t memory_budget = 0;
};

/// A function ready to run on arguments of any shape its types allow. May be run from many threads at once.
class Program {
 public:
  /// Compiles `function` of `module`: calls and gradients in it are expanded, passes run before and after
  /// (optim/rewrite/pass.h). `module` itself stays as it is.
  Program(std::shared_ptr<Module> module, const std::string& function, CompileOptions options = {});

  /// Runs on these arguments; makes a plan where their shapes are new.
  std::vector<Array> run(std::span<const Array> in);
  std::vector<Array> run(std::initializer_list<Array> in) { return run(std::span(in.begin(), in.size())); }
  /// A plan for row-major arguments whose symbols have these sizes; not kept.
  std::shared_ptr<const Plan> plan_for(const Bindings& sizes) const;
  /// The plan that was asked for last; nullptr before the first.
  std::shared_ptr<const Plan> last_plan() const;
  /// The plan for arguments of these types and layouts.
  std::shared_ptr<const Plan> plan(std::span<const Array> in);

  /// What will run, and the module it belongs to: neither is the one the program was made from.
  const Graph& graph() const { return *graph_; }
  const std::shared_ptr<Module>& module() const { return module_; }
  /// The function as it was written, with calls and gradients expanded and no pass run (node sources and
  /// scopes are the user's own), and the module that its constants are in. Made anew with every call.
  struct Written {
    std::shared_ptr<Module> module;
    std::shared_ptr<const Graph> graph;
  };
  Written as_written() const;
  /// What was fused, and what was not and why.
  const std::vector<FusionRecord>& records() const { return records_; }
  /// True where the function asks for a gradient.
  bool differentiates() const { return differentiates_; }
  size_t plans() const;

 private:
  std::shared_ptr<const Module> source_;
  std::string function_;
  std::shared_ptr<Module> module_;
  std::shared_ptr<const Graph> graph_;
  std::vector<FusionRecord> records_;
  bool differentiates_ = false;
  CompileOptions options_;
  using Plans =
      std::list<std::pair<uint64_t, std::shared_ptr<const Plan>>>;  // by the digest of the arguments
  std::shared_ptr<const Plan> find_plan(uint64_t key, std::span<const Array> in);
  mutable std::mutex mutex_;
  Plans recent_;
  std::unordered_multimap<uint64_t, Plans::iterator> by_key_;
};

}  // namespace fovea
