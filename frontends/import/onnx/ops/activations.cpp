#include "frontends/import/onnx/ops/activations.h"

#include <cmath>
#include <numbers>
#include <optional>
#include <vector>

#include "generated/ops.h"
#include "graph/build/builder.h"
#include "graph/ir/op.h"

namespace fovea::onnx {
namespace {

constexpr size_t kMostFactors = 3;

// Reads what was recorded.
struct Recorded {
  const Builder& builder;

  const Node& node(Value v) const { return builder.graph().nodes[static_cast<size_t>(v.node)]; }
  const std::string& op(Value v) const { return node(v).op->name(); }
  // The only number in v.
  std::optional<double> number(Value v) const {
    while (op(v) == "broadcast_to" || op(v) == "reshape" || op(v) == "cast") v = node(v).inputs[0];
    if (op(v) == "full") return node(v).attrs.number("value");
    if (op(v) != "constant") return {};
    const Array& a = builder.module()->constants[static_cast<size_t>(node(v).attrs.integer("index"))];
    return a.size() == 1 ? std::optional(a.item()) : std::nullopt;
  }
  bool is(Value v, double wanted) const {
    const auto x = number(v);
    const bool half =
        builder.graph().type(v).dtype == DType::f16 || builder.graph().type(v).dtype == DType::bf16;
    return x && std::fabs(*x - wanted) <= (half ? 4e-3 : 1e-6) * wanted;
  }
  // x of an operand that is x times `factor`, or x divided by 1 / factor.
  std::optional<Value> times(Value v, double factor) const {
    if (op(v) == "div" && is(node(v).inputs[1], 1 / factor)) return node(v).inputs[0];
    if (op(v) != "mul") return {};
    for (size_t k = 0; k < 2; ++k)
      if (is(node(v).inputs[k], factor)) return node(v).inputs[1 - k];
    return {};
  }
  // x of 1 + erf(x / sqrt 2).
  std::optional<Value> normal_share(Value v) const {
    if (op(v) != "add") return {};
    for (size_t k = 0; k < 2; ++k) {
      const Value erf = node(v).inputs[k];
      if (op(erf) == "erf" && is(node(v).inputs[1 - k], 1))
        return times(node(erf).inputs[0], std::numbers::sqrt2 / 2);
    }
    return {};
  }
};

// x, where the factors are x, a half and 1 + erf(x / sqrt 2).
std::optional<Value> gelu_operand(const Recorded& r, const std::vector<Value>& factors) {
  if (factors.size() != kMostFactors) return {};
  for (size_t share = 0; share < kMostFactors; ++share)
    if (const auto x = r.normal_share(factors[share]))
      for (size_t k = 0; k < kMostFactors; ++k)
        if (k != share && factors[k] == *x && r.is(factors[3 - share - k], 0.5)) return x;
  return {};
}

// Factors of a product whose factors are products and quotients by numbers.
std::vector<Value> factors_of(const Recorded& r, std::vector<Value> open) {
  std::vector<Value> out;
  while (!open.empty() && out.size() + open.size() <= kMostFactors) {
    const Value v = open.back();
    open.pop_back();
    if (r.op(v) == "mul" && open.size() + out.size() + 2 <= kMostFactors)
      open.insert(open.end(), r.node(v).inputs.begin(), r.node(v).inputs.end());
    else
      out.push_back(v);
  }
  return out;
}

}  // namespace

Tensor product_of(const Tensor& a, const Tensor& b) {
  const auto& builder = a.traced() ? a.builder() : b.builder();
  if (!builder || !is_floating(a.dtype()) || a.dtype() != b.dtype() ||
      (a.traced() && b.traced() && b.builder() != builder))
    return a * b;
  const Recorded r{*builder};
  const auto gates = [&](const Tensor& gate, const Tensor& x) {
    return gate.traced() && x.traced() && r.op(gate.value()) == "sigmoid" &&
           r.node(gate.value()).inputs[0] == x.value();
  };
  if (gates(b, a)) return silu(a);
  if (gates(a, b)) return silu(b);
  const Tensor &first = a.traced() ? a : b, &second = a.traced() ? b : a;
  std::optional<Value> x;
  if (second.traced()) {
    x = gelu_operand(r, factors_of(r, {first.value(), second.value()}));
  } else if (second.array().size() == 1 && second.array().item() == 0.5 && second.rank() <= first.rank() &&
             r.op(first.value()) == "mul") {
    const Node& n = r.node(first.value());
    for (size_t k = 0; k < 2 && !x; ++k)
      if (const auto share = r.normal_share(n.inputs[k]); share && *share == n.inputs[1 - k]) x = share;
  }
  // Numbers of more axes would give the product more axes.
  const bool plain = x && first.rank() <= static_cast<int64_t>(builder->graph().type(*x).shape.size()) &&
                     second.rank() <= static_cast<int64_t>(builder->graph().type(*x).shape.size());
  return plain ? gelu(builder->tensor(*x)) : a * b;
}

}  // namespace fovea::onnx
