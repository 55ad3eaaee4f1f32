// Normalisation layers.
#pragma once

#include "frontends/nn/module_scope.h"

namespace fovea::nn {

/// y = (x - mean) / sqrt(var + eps) * weight + bias over the last axis (Ba, Kiros and Hinton 2016).
class LayerNorm : public Module {
 public:
  explicit LayerNorm(int64_t dim, double eps = 1e-5);
  Tensor operator()(const Arg& x) const;

  Parameter weight, bias;

 private:
  double eps_;
};

/// y = x / sqrt(mean(x^2) + eps) * weight over the last axis (Zhang and Sennrich 2019).
class RMSNorm : public Module {
 public:
  explicit RMSNorm(int64_t dim, double eps = 1e-6);
  Tensor operator()(const Arg& x) const;

  Parameter weight;

 private:
  double eps_;
};

/// x [B, channels, ...]: mean and variance are those of each example's groups of channels (Wu and He 2018).
class GroupNorm : public Module {
 public:
  GroupNorm(int64_t groups, int64_t channels, double eps = 1e-5);
  Tensor operator()(const Arg& x) const;

  Parameter weight, bias;

 private:
  int64_t groups_;
  double eps_;
};

/// x [B, channels] or [B, channels, ...], normalised per channel (Ioffe and Szegedy 2015). In training mean
/// and variance are those of the batch, and the running ones move towards them: running = (1 - momentum)
/// running + momentum batch, with the variance of the population (n - 1). Else the running ones are used.
class BatchNorm : public Module {
 public:
  explicit BatchNorm(int64_t channels, double eps = 1e-5, double momentum = 0.1);
  Tensor operator()(const Arg& x) const;

  Parameter weight, bias, running_mean, running_var;

 private:
  double eps_, momentum_;
};
/// Names as elsewhere; the rank of the operand says how many axes a channel has.
using BatchNorm1d = BatchNorm;
using BatchNorm2d = BatchNorm;

}  // namespace fovea::nn
