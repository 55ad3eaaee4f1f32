#include "optim/update/optimizer.h"

#include "ops/composite/adam_update/adam_update.h"
#include "ops/composite/sgd_update/sgd_update.h"

namespace fovea {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

}  // namespace

double learning_rate(const Optimizer& optimizer) {
  return std::visit([](const auto& o) { return o.lr; }, optimizer);
}

double weight_decay(const Optimizer& optimizer) {
  return std::visit([](const auto& o) { return o.weight_decay; }, optimizer);
}

std::vector<std::string> state_names(const Optimizer& optimizer) {
  if (const Sgd* sgd = std::get_if<Sgd>(&optimizer))
    return sgd->momentum != 0 ? std::vector<std::string>{"momentum"} : std::vector<std::string>{};
  return {"m", "v"};
}

std::vector<Tensor> append_update(const Optimizer& optimizer, const Tensor& p, const Tensor& g,
                                  const std::vector<Tensor>& state, const Tensor& lr, const Tensor& step,
                                  const Tensor& grad_scale, double decay) {
  auto adam = [&](const auto& o, bool decoupled) -> std::vector<Tensor> {
    const AdamOptions options = {o.beta1, o.beta2, o.eps, decay, decoupled};
    const AdamResult r = adam_update(p, g, state[0], state[1], lr, step, options, grad_scale);
    return {r.param, r.m, r.v};
  };
  return std::visit(
      Overloaded{[&](const Adam& o) { return adam(o, false); }, [&](const AdamW& o) { return adam(o, true); },
                 [&](const Sgd& o) -> std::vector<Tensor> {
                   const SgdOptions options = {o.momentum, o.dampening, decay, o.nesterov};
                   if (state.empty()) return {sgd_update(p, g, lr, options, {}, {}, grad_scale).param};
                   const SgdResult r = sgd_update(p, g, lr, options, state[0], step, grad_scale);
                   return {r.param, r.velocity};
                 }},
      optimizer);
}

}  // namespace fovea
