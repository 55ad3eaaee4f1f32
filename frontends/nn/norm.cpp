#include "frontends/nn/norm.h"

#include "frontends/nn/check.h"
#include "frontends/nn/init.h"
#include "ops/composite/batch_norm_inference/batch_norm_inference.h"
#include "ops/composite/batch_norm_train/batch_norm_train.h"
#include "ops/composite/group_norm/group_norm.h"
#include "ops/composite/layer_norm/layer_norm.h"
#include "ops/composite/rms_norm/rms_norm.h"
#include "ops/core/add/add.h"
#include "ops/core/div/div.h"
#include "ops/core/extent/extent.h"
#include "ops/core/mul/mul.h"
#include "ops/core/stop_gradient/stop_gradient.h"
#include "ops/core/sub/sub.h"

namespace fovea::nn {

LayerNorm::LayerNorm(int64_t dim, double eps)
    : weight({at_least(1, dim, "LayerNorm: dim")}, init::ones()), bias({dim}, init::zeros()), eps_(eps) {
  add("weight", weight);
  add("bias", bias);
}
Tensor LayerNorm::operator()(const Arg& x) const {
  const ModuleScope scope(*this, x.source);
  return layer_norm(x, weight, bias, eps_);
}

RMSNorm::RMSNorm(int64_t dim, double eps)
    : weight({at_least(1, dim, "RMSNorm: dim")}, init::ones()), eps_(eps) {
  add("weight", weight);
}
Tensor RMSNorm::operator()(const Arg& x) const {
  const ModuleScope scope(*this, x.source);
  return rms_norm(x, weight, eps_);
}

GroupNorm::GroupNorm(int64_t groups, int64_t channels, double eps)
    : weight({at_least(1, channels, "GroupNorm: channels")}, init::ones()),
      bias({channels}, init::zeros()),
      groups_(at_least(1, groups, "GroupNorm: groups")),
      eps_(eps) {
  if (channels % groups != 0)
    invalid("GroupNorm: " + std::to_string(channels) + " channels do not divide into " +
            std::to_string(groups) + " groups");
  add("weight", weight);
  add("bias", bias);
}
Tensor GroupNorm::operator()(const Arg& x) const {
  const ModuleScope scope(*this, x.source);
  return group_norm(x, groups_, weight, bias, eps_);
}

BatchNorm::BatchNorm(int64_t channels, double eps, double momentum)
    : weight({at_least(1, channels, "BatchNorm: channels")}, init::ones()),
      bias({channels}, init::zeros()),
      running_mean({channels}, init::zeros(), /*trainable=*/false),
      running_var({channels}, init::ones(), /*trainable=*/false),
      eps_(eps),
      momentum_(momentum) {
  add("weight", weight);
  add("bias", bias);
  add("running_mean", running_mean);
  add("running_var", running_var);
}

Tensor BatchNorm::operator()(const Arg& x) const {
  const ModuleScope scope(*this, x.source);
  if (!training()) return batch_norm_inference(x, running_mean, running_var, weight, bias, eps_);
  const fovea::BatchNorm batch = batch_norm_train(x, weight, bias, eps_);
  const Tensor t = to_tensor(x, DType::f32);
  Shape others = t.shape();
  others.erase(others.begin() + 1);
  const Tensor n = extent(others, batch.var.dtype());  // values of one channel
  const auto move = [&](const Parameter& running, const Tensor& to) {
    running.update(running * (1 - momentum_) + stop_gradient(to) * momentum_);
  };
  move(running_mean, batch.mean);
  move(running_var, batch.var * (n / (n - 1)));
  return batch.y;
}

}  // namespace fovea::nn
