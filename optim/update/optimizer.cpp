#include "optim/update/optimizer.h"

namespace fovea {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

std::vector<Tensor> adam(const Attrs& attrs, std::vector<Tensor> operands, const Tensor& grad_scale) {
  if (grad_scale.defined()) operands.push_back(grad_scale);
  return apply("adam_update", std::move(operands), attrs);
}

}  // namespace

double learning_rate(const Optimizer& optimizer) {
  return std::visit([](const auto& o) { return o.lr; }, optimizer);
}

double weight_decay(const Optimizer& optimizer) {
  return std::visit([](const auto& o) { return o.weight_decay; }, optimizer);
}

std::vector<std::string> state_names(const Optimizer& optimizer) {
  if (const Sgd* sgd = std::get_if<Sgd>(&optimizer)) return sgd->momentum != 0 ? std::vector<std::string>{"momentum"} : std::vector<std::string>{};
  return {"m", "v"};
}

std::vector<Tensor> append_update(const Optimizer& optimizer, const Tensor& p, const Tensor& g, const std::vector<Tensor>& state, const Tensor& lr,
                                  const Tensor& step, const Tensor& grad_scale, double decay) {
  auto adam_attrs = [&](const auto& o, bool decoupled) {
    return Attrs{{"beta1", o.beta1}, {"beta2", o.beta2}, {"eps", o.eps}, {"weight_decay", decay}, {"decoupled", decoupled}};
  };
  return std::visit(Overloaded{[&](const Adam& o) { return adam(adam_attrs(o, false), {p, g, state[0], state[1], lr, step}, grad_scale); },
                               [&](const AdamW& o) { return adam(adam_attrs(o, true), {p, g, state[0], state[1], lr, step}, grad_scale); },
                               [&](const Sgd& o) {
                                 const Tensor scaled = grad_scale.defined() ? apply1("mul", {g, grad_scale}) : g;
                                 std::vector<Tensor> operands{p, scaled, lr, step};
                                 operands.insert(operands.end(), state.begin(), state.end());
                                 return apply("sgd_update", operands,
                                              {{"momentum", o.momentum}, {"dampening", o.dampening}, {"nesterov", o.nesterov}, {"weight_decay", decay}});
                               }},
                    optimizer);
}

}  // namespace fovea
