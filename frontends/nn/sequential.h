// One layer after another.
#pragma once

#include <concepts>
#include <functional>
#include <vector>

#include "frontends/nn/module_scope.h"

namespace fovea::nn {

/// Runs its steps in order; step i is called "i". A step is a module, or any function of one tensor.
///   Sequential net(Linear(784, 128), Relu(), Linear(128, 10));
class Sequential : public Module {
 public:
  Sequential() = default;
  template <class... Steps>
  requires(sizeof...(Steps) > 0 && !(std::same_as<std::remove_cvref_t<Steps>, Sequential> ||
                                     ...)) explicit Sequential(Steps... steps) {
    (push_back(std::move(steps)), ...);
  }

  template <class Step>
  requires std::invocable<const Step&, const Arg&>
  void push_back(Step step) {
    if constexpr (std::derived_from<Step, Module>) add(std::to_string(steps_.size()), step);
    steps_.push_back([step = std::move(step)](const Arg& x) -> Tensor { return step(x); });
  }

  Tensor operator()(const Arg& x) const {
    const ModuleScope scope(*this, x.source);
    Tensor y = to_tensor(x, DType::f32);
    for (const auto& step : steps_) y = step(y);
    return y;
  }
  size_t size() const { return steps_.size(); }

 private:
  std::vector<std::function<Tensor(const Arg&)>> steps_;
};

}  // namespace fovea::nn
