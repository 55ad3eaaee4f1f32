// A plan: prepared kernel launches on offsets of one arena. It knows no graph; replaying it allocates
// nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "framework/backend/kernel.h"
#include "framework/backend/prepared.h"
#include "framework/base/source.h"
#include "framework/tensor/array.h"

namespace fovea {

/// Where an operand of a step lies: a slot and an offset in bytes. Slot 0 is the arena; then come the inputs,
/// the outputs and the constants.
struct PlanRef {
  int32_t slot = 0;
  int64_t offset = 0;
};

class Plan;

/// One launch.
struct PlanStep {
  std::shared_ptr<const PreparedOp> prepared;       ///< a kernel of a backend, or
  std::unique_ptr<PreparedKernel> host;             ///< control flow: plans inside plans
  std::vector<std::shared_ptr<const Plan>> bodies;  ///< those plans
  int32_t first_ref = 0, inputs = 0, outputs = 0;
  int64_t workspace_offset = 0;
  // For people: errors, explain, profiles.
  std::string op, kernel;  ///< "softmax", "rows"
  int32_t node = -1;       ///< in the graph the plan was made from
  Source source;
};

/// Type and layout of an argument or result.
struct PlanOperand {
  DType dtype = DType::f32;
  Dims shape, strides;
  int32_t donated_to = -1;  ///< of an input: the output that takes over its memory
  int32_t alias_of = -1;    ///< of an output: the input whose memory it takes over
};

/// What a plan computes twice so as not to keep it (CompileOptions::memory_budget).
struct Recomputed {
  int64_t launches = 0;
  int64_t flops = 0;  ///< added to every run
  int64_t bytes = 0;  ///< by how much the arena is smaller than it would be
};

/// Prepared launches for arguments of fixed types, and the layout of their memory.
class Plan {
 public:
  Plan();
  ~Plan();
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  /// Runs every step. `in[i]` is the first element of input i, laid out as inputs[i] says; `out[i]` row-major
  /// memory for output i. For an output that takes over an input's memory both are the same address. Throws
  /// the first error with op, kernel and the user's file:line. May be called from several threads at once.
  void run(const void* const* in, void* const* out) const;

  /// Checks the arguments, allocates the results and runs. Donated arguments are marked as such.
  std::vector<Array> run(std::span<const Array> in) const;

  std::vector<PlanOperand> inputs, outputs;
  std::vector<PlanStep> steps;
  std::vector<PlanRef> refs;
  std::vector<Array> constants;
  int64_t arena_bytes = 0;
  int64_t live_bytes = 0;  ///< largest sum of live values: the floor of arena_bytes
  Recomputed recomputed;

 private:
  struct Context;
  std::unique_ptr<Context> take_context() const;
  void give_back(std::unique_ptr<Context> context) const;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Context>> idle_;
};

/// One launch as it was timed; seconds of a steady clock.
struct LaunchTime {
  std::string op, kernel, source;
  double begin, end;
  std::shared_ptr<const PreparedOp> prepared;  ///< shapes and attributes; nullptr for loops and branches
  int32_t node = -1;                           ///< in the graph of the outermost plan
  int depth = 0;                               ///< how many loops or branches it ran inside of
};

/// Runs `body` with every launch of this thread's plans timed.
std::vector<LaunchTime> record_launches(const std::function<void()>& body);

}  // namespace fovea
