// The six training workloads: models, batches, losses and optimisers, as benchmarks and tests use them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "frontends/cpp/trace.h"
#include "frontends/nn/module.h"
#include "optim/update/optimizer.h"

namespace fovea::models {

/// Inputs and labels of one step.
struct Batch {
  std::vector<Array> inputs;
  Array labels;
  /// As a training step takes them: the inputs, then the labels.
  std::vector<Array> arrays() const;
  std::vector<Spec> specs() const;
};

/// A model with its data, loss and optimiser.
struct Workload {
  std::string name;
  std::shared_ptr<nn::Module> model;
  /// The model on a batch's inputs, in their order: logits [..., classes].
  std::function<Tensor(const std::vector<Tensor>& inputs)> forward;
  /// Mean cross-entropy of logits against labels.
  std::function<Tensor(const Tensor& logits, const Tensor& labels)> loss;
  /// A batch of random data; equal seeds give equal batches.
  std::function<Batch(uint64_t seed)> make_batch;
  /// From the arrays of a batch to {loss}: what a training step is made of. The workload must outlive it.
  Function step_loss() const;
  int64_t items = 0;  ///< per step: target tokens or images
  Optimizer optimizer;
};

/// How large a workload is: the benchmarks' sizes, or small ones for tests.
enum class WorkloadSize { full, tiny };

/// translator, gpt-char, bert-mini, vit, resnet20, gru-attention.
const std::vector<std::string>& workload_names();
/// The workload with a model initialised from `seed`; InvalidArgument listing the names where there is none
/// of this name. `dropout` replaces the workload's own where it is not negative.
Workload make_workload(const std::string& name, uint64_t seed = 0, WorkloadSize size = WorkloadSize::full,
                       double dropout = -1);

}  // namespace fovea::models
