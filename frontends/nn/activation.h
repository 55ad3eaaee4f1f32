// Layers without parameters: activations, dropout, identity.
#pragma once

#include <string>

#include "frontends/nn/module_scope.h"

namespace fovea::nn {

/// An elementwise function as a module.
class Activation : public Module {
 public:
  using Fn = Tensor (*)(const Arg&);
  explicit Activation(Fn fn) : fn_(fn) {}
  /// relu, gelu, gelu_tanh, silu, mish, elu, leaky_relu, sigmoid, tanh, softplus or identity; InvalidArgument
  /// otherwise.
  explicit Activation(const std::string& name);
  Tensor operator()(const Arg& x) const;

 private:
  Fn fn_;
};

/// relu(x) as a module.
struct Relu : Activation {
  Relu();
};
/// gelu(x) as a module.
struct Gelu : Activation {
  Gelu();
};
/// silu(x) as a module.
struct Silu : Activation {
  Silu();
};
/// tanh(x) as a module.
struct Tanh : Activation {
  Tanh();
};
/// sigmoid(x) as a module.
struct Sigmoid : Activation {
  Sigmoid();
};
/// x itself, as a module.
struct Identity : Activation {
  Identity();
};

/// In training each element is 0 with probability p and x / (1 - p) otherwise (Srivastava et al. 2014); else
/// x itself. Draws from the key of the scope (random_key()), anew for every call and every step.
class Dropout : public Module {
 public:
  explicit Dropout(double p);
  Tensor operator()(const Arg& x) const;
  double p() const { return p_; }

 private:
  double p_;
};

}  // namespace fovea::nn
