// Optimisers: descriptions, and the graph nodes of one update.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "graph/build/tensor.h"

namespace fovea {

/// Stochastic gradient descent, with PyTorch's momentum: v = momentum v + (1 - dampening) g; p -= lr v.
struct Sgd {
  double lr = 0.01;
  double momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false;
};

/// Adam (Kingma and Ba 2014, algorithm 1); weight_decay is added to the gradient.
struct Adam {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
};

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2): p -= lr weight_decay p
/// besides.
struct AdamW {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01;
};

using Optimizer = std::variant<Sgd, Adam, AdamW>;

/// The optimiser's own learning rate.
double learning_rate(const Optimizer& optimizer);
/// The optimiser's own weight decay.
double weight_decay(const Optimizer& optimizer);
/// Names of the tensors kept for each parameter, all of its shape and starting at zero: {"m", "v"} for Adam.
std::vector<std::string> state_names(const Optimizer& optimizer);

/// Adds one update: {new parameter, new state...}. `lr` and `step` (1 at the first update) are f32 scalars;
/// `grad_scale`, if defined, multiplies the gradient (clipping). `decay` replaces the optimiser's weight
/// decay.
std::vector<Tensor> append_update(const Optimizer& optimizer, const Tensor& parameter, const Tensor& gradient,
                                  const std::vector<Tensor>& state, const Tensor& lr, const Tensor& step,
                                  const Tensor& grad_scale, double decay);

}  // namespace fovea
