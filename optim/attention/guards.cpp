#include "optim/attention/decomposer.h"

#include <algorithm>
#include <cmath>

namespace fovea::match {

// where(c, x, 0), where(isnan(x), 0, x), where(sum == 0, 1, sum).
bool Decomposer::guarded(const Item& i, Product& p, std::vector<Item>& open, int depth) {
  const Node& n = node(i);
  if (never_holds(n.inputs[0])) {
    open.push_back({input(i, 2), i.sign, false});
    return true;
  }
  const bool zero_else = is_zero(n.inputs[2]), zero_then = is_zero(n.inputs[1]);
  if (i.sign > 0 && zero_else != zero_then) {
    const size_t kept = zero_else ? 1 : 2;
    open.push_back({input(i, kept), 1, false});
    if (tests_nan(input(i, 0), input(i, kept), zero_then)) {
      p.nan_guard = true;
      if (hides_division(input(i, kept), depth)) p.blocked = i.ref.value.node;
      return true;
    }
    p.factors.push_back({zero_else ? Factor::What::keep : Factor::What::drop, input(i, 0), 1});
    return true;
  }
  return denominator(i, p, depth);
}

// Conditions that ask whether a probability is infinite, as guards for any number do.
bool Decomposer::never_holds(Value condition) const {
  std::vector<Value> open{condition};
  for (size_t steps = 0; !open.empty() && steps < kMostItems; ++steps) {
    Value v = open.back();
    open.pop_back();
    while (view_.role(v) == Role::same || view_.role(v) == Role::cast) v = view_.node(v).inputs[0];
    const Node& n = view_.node(v);
    const std::string& name = n.op->name();
    if (name == "logical_and") {
      open.insert(open.end(), {n.inputs[0], n.inputs[1]});
    } else if (name == "is_inf" && is_finite(n.inputs[0])) {
      return true;
    } else if (name == "equal") {
      for (size_t k : {size_t{0}, size_t{1}}) {
        const auto bound = view_.number(n.inputs[k]);
        if (bound && std::isinf(*bound) && is_finite(n.inputs[1 - k])) return true;
      }
    }
  }
  return false;
}

// A probability, or NaN; perhaps with a number in the place of some.
bool Decomposer::is_finite(Value v) const {
  for (int steps = 0; steps < kDeepest; ++steps) {
    v = unwrapped(v);
    if (view_.role(v) != Role::where) return view_.role(v) == Role::softmax;
    const Node& n = view_.node(v);
    const size_t kept = view_.number(n.inputs[1]) ? 2 : 1;
    const auto other = view_.number(n.inputs[3 - kept]);
    if (!other || !std::isfinite(*other)) return false;
    v = n.inputs[kept];
  }
  return false;
}

// True where a guarded product divides by what may be 0: the guard turns 0 / 0 into 0.
bool Decomposer::hides_division(const Ref& guarded, int depth) {
  if (depth >= kDeepest) return true;
  const Product inside = run(guarded, depth + 1);
  return std::any_of(inside.factors.begin(), inside.factors.end(), [this](const Factor& f) {
    const auto n = view_.number(f.ref.value);
    return f.sign < 0 && (!n || *n == 0);
  });
}

// True where the condition says that x is NaN (`nan`), or that it is not.
bool Decomposer::tests_nan(const Ref& condition, const Ref& x, bool nan) {
  const auto said = says(condition, x, 0);
  return said && said->of_nan == nan && said->of_number != nan;
}

std::optional<Decomposer::Says> Decomposer::says(Ref condition, const Ref& x, int depth) {
  if (depth > kDeepest) return std::nullopt;
  condition = behind(std::move(condition));
  const std::string& name = view_.node(condition.value).op->name();
  const auto reads_x = [&](size_t k) {
    const Ref a = behind(operand(view_, condition, k)), b = behind(x);
    return key_of(table_, view_.canonical(a.value), a.layout) ==
           key_of(table_, view_.canonical(b.value), b.layout);
  };
  if (name == "is_nan" && reads_x(0)) return Says{true, false};
  if (name == "is_finite" && reads_x(0)) return Says{false, true};
  if (name == "is_inf" && reads_x(0) && is_finite(x.value)) return Says{false, false};
  if ((name == "equal" || name == "not_equal") && reads_x(0) && reads_x(1))
    return Says{name == "not_equal", name == "equal"};
  const bool both = name == "logical_and";
  if (name == "logical_not") {
    const auto a = says(operand(view_, condition, 0), x, depth + 1);
    return a ? std::optional(Says{!a->of_nan, !a->of_number}) : std::nullopt;
  }
  if (!both && name != "logical_or") return std::nullopt;
  const auto a = says(operand(view_, condition, 0), x, depth + 1),
             b = says(operand(view_, condition, 1), x, depth + 1);
  if (!a || !b) return std::nullopt;
  return both ? Says{a->of_nan && b->of_nan, a->of_number && b->of_number}
              : Says{a->of_nan || b->of_nan, a->of_number || b->of_number};
}

}  // namespace fovea::match
