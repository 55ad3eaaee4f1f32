#include "optim/attention/decomposer.h"

#include <cmath>

namespace fovea::match {

namespace {

bool is_view(Role r) {
  return r == Role::same || r == Role::reshape || r == Role::permute || r == Role::broadcast ||
         r == Role::slice;
}

}  // namespace

Product Decomposer::take_apart(Item first, int depth) {
  Product p;
  std::vector<Item> open{std::move(first)};
  while (!open.empty()) {
    const Item item = open.back();
    open.pop_back();
    if (++items_ > kMostItems) {
      p.blocked = item.ref.value.node;
      break;
    }
    if (item.exponent)
      exponent(item, p, open, depth);
    else
      factor(item, p, open, depth);
  }
  return p;
}

// exp of the terms that are left is the product of the exps.
void Decomposer::exponent(const Item& i, Product& p, std::vector<Item>& open, int depth) {
  const Role r = view_.role(i.ref.value);
  const Value in = node(i).inputs.empty() ? Value{} : node(i).inputs[0];
  const auto push = [&](const Ref& ref, double scale) { open.push_back({ref, 1, true, scale}); };
  const bool whole = std::fabs(i.scale) == 1;  // the power of a factor
  const int sign = i.scale < 0 ? -1 : 1;
  // Sums stay as they were written but where something in them may cancel.
  const bool splits = view_.shifted(i.ref.value);
  if (splits && (r == Role::mul || r == Role::div)) {
    const auto right = view_.number(node(i).inputs[1]);
    const auto left = r == Role::mul && !right ? view_.number(node(i).inputs[0]) : std::nullopt;
    const double by = right ? (r == Role::mul ? *right : 1 / *right) : left.value_or(0);
    if (std::isfinite(by) && by != 0) {
      // A change of base (log2 e ln 2) is 1 but for rounding.
      const double scale = i.scale * by;
      const double rounding = view_.dtype(i.ref.value) == DType::f64 ? 1e-12 : 2e-7;
      push(input(i, right ? 0 : 1),
           std::fabs(std::fabs(scale) - 1) < rounding ? (scale < 0 ? -1 : 1) : scale);
      return;
    }
  }
  if (splits && (r == Role::add || r == Role::sub)) {
    push(input(i, 0), i.scale);
    push(input(i, 1), r == Role::add ? i.scale : -i.scale);
  } else if (splits && r == Role::neg) {
    push(input(i), -i.scale);
  } else if (floating_cast(i)) {
    push(input(i), i.scale);
  } else if (r == Role::log && view_.tainted(in) && whole) {
    open.push_back({input(i), sign, false});
  } else if (r == Role::logsumexp && depth < kDeepest && whole) {
    auto sum = std::make_shared<Denominator>();
    sum->node = i.ref.value.node;
    add_sum(*sum, summed(before_sum(view_, table_, i.ref), i, true, depth));
    p.sums.emplace_back(std::move(sum), sign);
  } else if (r == Role::log_softmax && depth < kDeepest && whole) {
    push({in, i.ref.layout}, i.scale);
    p.sums.emplace_back(softmax_sum(i, depth), -sign);
  } else if (node(i).op->name() == "softplus" && view_.tainted(in) && whole && depth < kDeepest) {
    p.sums.emplace_back(one_more(input(i), i, depth), sign);
  } else if (is_safe_softplus(i)) {
    push(input(i, 2), i.scale);
  } else if (is_view(r)) {
    if (!to_view(i, open)) p.terms.push_back({i.ref, i.scale});
  } else if (r == Role::concat) {
    const auto part = part_of(i.ref);
    if (part)
      push(*part, i.scale);
    else
      p.terms.push_back({i.ref, i.scale});
  } else if (const auto first = r == Role::matmul ? view_.transposed(i.ref.value) : std::nullopt) {
    Ref same{*first, i.ref.layout};
    std::swap(same.layout[same.layout.size() - 1], same.layout[same.layout.size() - 2]);
    p.terms.push_back({std::move(same), i.scale});
  } else {
    p.terms.push_back({i.ref, i.scale});
  }
}

void Decomposer::factor(const Item& i, Product& p, std::vector<Item>& open, int depth) {
  const Role r = view_.role(i.ref.value);
  const bool to_values = view_.weighted(i.ref.value) && p.contraction.node < 0 && i.sign > 0;
  if (!view_.tainted(i.ref.value) && !to_values) {
    if (i.sign < 0 && summed_by_product(i, p, depth)) return;
    p.factors.push_back({Factor::What::plain, i.ref, i.sign});
    return;
  }
  switch (r) {
    case Role::mul:
    case Role::div:
      open.push_back({input(i, 1), r == Role::mul ? i.sign : -i.sign, false});
      open.push_back({input(i, 0), i.sign, false});
      return;
    case Role::reciprocal:
      open.push_back({input(i), -i.sign, false});
      return;
    case Role::neg:
      p.factors.push_back({Factor::What::minus, i.ref, 1});
      open.push_back({input(i), i.sign, false});
      return;
    case Role::exp:
      if (is_row_factor(i, p)) {
        p.factors.push_back({Factor::What::plain, i.ref, i.sign});
        return;
      }
      if (i.sign > 0) p.has_exponential = true;
      open.push_back({input(i), 1, true, static_cast<double>(i.sign)});
      return;
    case Role::power: {
      if (i.sign > 0) p.has_exponential = true;
      const double base = *view_.number(node(i).inputs[0]);
      open.push_back({input(i, 1), 1, true, i.sign * std::log(base)});
      return;
    }
    case Role::softmax:
      if (depth >= kDeepest) break;
      if (i.sign > 0) p.has_exponential = true;
      open.push_back({{node(i).inputs[0], i.ref.layout}, 1, true, static_cast<double>(i.sign)});
      p.sums.emplace_back(softmax_sum(i, depth), -i.sign);
      return;
    case Role::where:
      if (guarded(i, p, open, depth)) return;
      break;
    case Role::dropout:
      if (i.sign < 0) break;
      p.factors.push_back({Factor::What::dropout, i.ref, 1});
      open.push_back({input(i), i.sign, false});
      return;
    case Role::same:
    case Role::reshape:
    case Role::permute:
    case Role::broadcast:
    case Role::slice:
      if (to_view(i, open)) return;
      break;
    case Role::cast:
      if (!floating_cast(i)) break;
      open.push_back({input(i), i.sign, false});
      return;
    case Role::sum:
      if (contract(i, p, open)) return;
      [[fallthrough]];
    case Role::add:
    case Role::maximum:
    case Role::clip:
      if (denominator(i, p, depth)) return;
      break;
    default:
      if (contract(i, p, open)) return;
      if (i.sign < 0 && summed_by_product(i, p, depth)) return;
      if (node(i).op->name() == "pow" && view_.number(node(i).inputs[1]) == -1.0) {
        open.push_back({input(i), -i.sign, false});
        return;
      }
      if (node(i).op->name() == "sigmoid" && i.sign > 0 && depth < kDeepest) {
        logistic(i, p, open, depth);
        return;
      }
      // exp(x) is its own absolute value.
      if (node(i).op->name() == "abs" && is_positive(node(i).inputs[0])) {
        open.push_back({input(i), i.sign, false});
        return;
      }
      break;
  }
  p.blocked = i.ref.value.node;
}

// An exponential of something else than the scores, free of the keys: a learned weight of a head.
bool Decomposer::is_row_factor(const Item& i, const Product& p) const {
  return p.contraction.node >= 0 && !view_.shifted(node(i).inputs[0]) &&
         !contains_any(table_.resolve(flat(i.ref.layout)), table_.resolve(p.contraction.reduced));
}

// sigmoid(x) = exp(x) / (exp(x) + 1).
void Decomposer::logistic(const Item& i, Product& p, std::vector<Item>& open, int depth) {
  p.sums.emplace_back(one_more(input(i), i, depth), -1);
  open.push_back({input(i), 1, true});
}

// exp(x) + 1.
std::shared_ptr<Denominator> Decomposer::one_more(const Ref& exponent, const Item& i, int depth) {
  auto sum = std::make_shared<Denominator>();
  sum->node = i.ref.value.node;
  Addend a;
  a.node = i.ref.value.node;
  a.product = run_exponent(exponent, depth + 1);
  sum->addends.push_back(std::move(a));
  sum->addends.emplace_back();  // 1
  sum->addends.back().node = i.ref.value.node;
  return sum;
}

// where(x > 20, x, softplus(x)), which keeps exp(x) from overflowing.
bool Decomposer::is_safe_softplus(const Item& i) const {
  const Node& n = node(i);
  if (view_.role(i.ref.value) != Role::where) return false;
  const Node &test = view_.node(n.inputs[0]), &soft = view_.node(n.inputs[2]);
  if (test.op->name() != "greater" || soft.op->name() != "softplus") return false;
  const auto bound = view_.number(test.inputs[1]);
  const Value x = view_.canonical(n.inputs[1]);
  return bound && *bound >= 15 && view_.canonical(test.inputs[0]) == x &&
         view_.canonical(soft.inputs[0]) == x;
}

// The product with the values: once, and on the way to the probabilities.
bool Decomposer::contract(const Item& i, Product& p, std::vector<Item>& open) {
  if (p.contraction.node >= 0 || i.sign < 0) return false;
  if (!is_contraction(view_.role(i.ref.value))) return false;
  const Node& n = node(i);
  if (n.inputs.empty()) return false;
  auto c = contraction_at(view_, table_, i.ref);
  if (!c) return false;
  const Ref& chosen = side_ == 0 ? c->a : c->b;
  if (!view_.tainted(chosen.value)) return false;
  p.contraction = *c;
  p.probabilities = chosen;
  p.values = side_ == 0 ? c->b : c->a;
  open.push_back({chosen, 1, false});
  return true;
}

bool Decomposer::to_view(const Item& i, std::vector<Item>& open) {
  auto behind = behind_view(view_, table_, i.ref);
  if (!behind) return false;
  open.push_back({std::move(*behind), i.sign, i.exponent, i.scale});
  return true;
}

bool Decomposer::floating_cast(const Item& i) const {
  return view_.role(i.ref.value) == Role::cast && is_floating(view_.dtype(i.ref.value)) &&
         is_floating(view_.dtype(node(i).inputs[0]));
}

bool Decomposer::is_positive(Value v) const {
  v = unwrapped(v);
  const Role r = view_.role(v);
  return r == Role::exp || r == Role::softmax || r == Role::power;
}

bool Decomposer::is_zero(Value v) const {
  const auto n = view_.number(v);
  return n && *n == 0;
}

// What lies behind views and casts.
Ref Decomposer::behind(Ref ref) {
  for (size_t steps = 0; steps < kMostItems; ++steps) {
    if (floating_cast({ref, 1, false})) {
      ref.value = view_.node(ref.value).inputs[0];
      continue;
    }
    auto next = behind_view(view_, table_, ref);
    if (!next) break;
    ref = std::move(*next);
  }
  return ref;
}

Value Decomposer::unwrapped(Value v) const {
  while (view_.role(v) == Role::same || floating_cast({{v, {}}, 1, false})) v = view_.node(v).inputs[0];
  return v;
}

std::vector<Term> exponent_terms(const View& view, LabelTable& table, const Ref& ref) {
  return Decomposer(view, table, 0).run_exponent(ref, Decomposer::kDeepest).terms;
}

Product decompose(const View& view, LabelTable& table, const Ref& ref, int side) {
  return Decomposer(view, table, side).run(ref, 0);
}

}  // namespace fovea::match
