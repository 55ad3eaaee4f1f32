#include "frontends/nn/activation.h"

#include "frontends/nn/check.h"
#include "ops/composite/dropout/dropout.h"
#include "ops/composite/elu/elu.h"
#include "ops/composite/gelu/gelu.h"
#include "ops/composite/leaky_relu/leaky_relu.h"
#include "ops/composite/mish/mish.h"
#include "ops/composite/relu/relu.h"
#include "ops/composite/sigmoid/sigmoid.h"
#include "ops/composite/silu/silu.h"
#include "ops/composite/softplus/softplus.h"
#include "ops/core/tanh/tanh.h"

namespace fovea::nn {
namespace {

Tensor itself(const Arg& x) { return to_tensor(x, DType::f32); }

struct Entry {
  const char* name;
  Activation::Fn fn;
};
constexpr Entry kActivations[] = {
    {"relu", relu},
    {"gelu", [](const Arg& x) { return gelu(x); }},
    {"gelu_tanh", [](const Arg& x) { return gelu(x, "tanh"); }},
    {"silu", silu},
    {"mish", mish},
    {"elu", [](const Arg& x) { return elu(x); }},
    {"leaky_relu", [](const Arg& x) { return leaky_relu(x); }},
    {"sigmoid", sigmoid},
    {"tanh", tanh},
    {"softplus", softplus},
    {"identity", itself},
};

Activation::Fn find(const std::string& name) {
  std::string known;
  for (const Entry& e : kActivations) {
    if (name == e.name) return e.fn;
    known += (known.empty() ? "" : ", ") + std::string(e.name);
  }
  invalid("there is no activation '" + name + "'; there are: " + known);
}

}  // namespace

Activation::Activation(const std::string& name) : fn_(find(name)) {}

Tensor Activation::operator()(const Arg& x) const {
  const ModuleScope scope(*this, x.source);
  return fn_(x);
}

Relu::Relu() : Activation("relu") {}
Gelu::Gelu() : Activation("gelu") {}
Silu::Silu() : Activation("silu") {}
Tanh::Tanh() : Activation("tanh") {}
Sigmoid::Sigmoid() : Activation("sigmoid") {}
Identity::Identity() : Activation("identity") {}

Dropout::Dropout(double p) : p_(probability(p, "Dropout: p")) {}

Tensor Dropout::operator()(const Arg& x) const {
  if (p_ == 0 || !training()) return to_tensor(x, DType::f32);
  const ModuleScope scope(*this, x.source);
  return dropout(x, random_key(), p_);
}

}  // namespace fovea::nn
