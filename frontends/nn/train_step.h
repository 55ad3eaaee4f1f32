// One training step as one plan: forward, backward, clipping and update.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "frontends/cpp/trace.h"
#include "frontends/nn/module.h"
#include "optim/lower/program.h"
#include "optim/update/optimizer.h"

namespace fovea::nn {

/// Parameters that are trained differently. The first group that matches takes a parameter.
struct ParameterGroup {
  std::function<bool(const NamedParameter&)> matches;
  double lr_scale = 1;
  std::optional<double> weight_decay;
};

/// The usual group: no weight decay on what has fewer than two dimensions (biases, norms).
ParameterGroup no_decay_on_vectors();

/// How a TrainStep trains.
struct TrainOptions {
  Optimizer optimizer = Adam{};
  std::vector<ParameterGroup> groups;
  double clip_norm = 0;        ///< gradients are scaled so that their global norm is at most this; 0 for none
  int accumulate = 1;          ///< micro-batches whose gradients are averaged for one update
  double ema = 0;              ///< decay of an exponential moving average of the parameters; 0 for none
  DType compute = DType::f32;  ///< bf16: forward and backward in bf16, with f32 masters and statistics
  uint64_t seed = 0;           ///< of dropout and other random ops
  CompileOptions compile;
};

/// From a batch to {loss, metrics...}: scalars. Called once, while tracing.
using LossFunction = std::function<std::vector<Tensor>(const std::vector<Tensor>& batch)>;

/// Owns the state of training (parameters, buffers, optimiser) and advances it. A step that throws changes
/// nothing.
class TrainStep {
 public:
  /// `batch` declares the types of the batch's tensors; symbols serve every size.
  TrainStep(const Module& module, LossFunction loss, std::vector<Spec> batch, TrainOptions options);
  ~TrainStep();

  /// One step on this batch: {loss, metrics...}, valid until the next step. `lr`: this step's learning rate
  /// (the optimiser's own if negative). With batches of one size, row-major, every step after the first
  /// allocates nothing.
  const std::vector<double>& operator()(const std::vector<Array>& batch, double lr = -1);

  /// Updates made so far.
  int64_t step() const { return step_; }
  /// Everything that training needs to go on, by name: "param/…", "buffer/…", "adam.m/…", "ema/…", "step".
  /// Arrays share the live memory.
  std::vector<std::pair<std::string, Array>> state() const;
  /// Takes over what state() gave, copying; InvalidArgument where a name or shape does not fit.
  void load_state(const std::map<std::string, Array>& state);
  /// Sets the module's parameters to the live trained values, which change with every step (they do so from
  /// the start), or to their moving average. copy() values to keep them.
  void publish(bool average = false) const;

  const Program& program() const;
  /// A copy of what operator() would hand to program() now.
  std::vector<Array> arguments(const std::vector<Array>& batch, double lr = -1) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  int64_t step_ = 0;
};

}  // namespace fovea::nn
