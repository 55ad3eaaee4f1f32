#include "optim/attention/decomposer.h"

#include <algorithm>
#include <cmath>

namespace fovea::match {

// The operand of a concatenation that is read, where it is exactly one.
std::optional<Ref> Decomposer::part_of(const Ref& ref) {
  const Node& n = view_.node(ref.value);
  const auto axis = static_cast<size_t>(n.attrs.integer("axis"));
  const AxisMap& m = ref.layout[axis];
  Dim offset = 0;
  for (const Value& v : n.inputs) {
    const Dim& size = view_.shape(v)[axis];
    if (m.step == 1 && m.start == offset && table_.size(m.labels) == size) {
      Ref part{v, ref.layout};
      part.layout[axis].start = 0;
      return part;
    }
    offset = offset + size;
  }
  return std::nullopt;
}

// Adds a sum; over a concatenation it is the sum over its parts.
void Decomposer::add_sum(Denominator& sum, Addend a) {
  const auto reads_all = [&](const Term& t) {
    return contains_any(table_.resolve(flat(t.ref.layout)), table_.resolve(a.over));
  };
  std::vector<Term>& terms = a.product.terms;
  const auto at = std::find_if(terms.begin(), terms.end(), reads_all);
  const bool splits = at != terms.end() && view_.role(at->ref.value) == Role::concat && at->scale > 0 &&
                      std::count_if(terms.begin(), terms.end(), reads_all) == 1 && a.product.factors.empty();
  const auto axis = splits ? static_cast<size_t>(view_.node(at->ref.value).attrs.integer("axis")) : 0;
  if (!splits || !whole_axis(table_, at->ref.layout[axis], view_.shape(at->ref.value)[axis])) {
    sum.addends.push_back(std::move(a));
    return;
  }
  const Ref joined = at->ref;
  const double scale = at->scale;
  for (const Value& v : view_.node(joined.value).inputs) {
    Addend part = a;
    Ref x{v, joined.layout};
    const Dim& size = view_.shape(v)[axis];
    x.layout[axis] = {};
    part.over.clear();
    if (size != Dim(1)) {
      part.over = {table_.add(size)};
      x.layout[axis].labels = part.over;
    }
    part.product.terms.erase(part.product.terms.begin() + (at - terms.begin()));
    const Product e = run_exponent(x, kDeepest, scale);
    part.product.terms.insert(part.product.terms.end(), e.terms.begin(), e.terms.end());
    part.product.factors = e.factors;
    part.product.sums.insert(part.product.sums.end(), e.sums.begin(), e.sums.end());
    sum.addends.push_back(std::move(part));
  }
}

// sum over fresh labels of exp (exponent) or of the value itself.
Addend Decomposer::summed(const Ref& ref, const Item& i, bool exponent, int depth) {
  Addend a;
  a.node = i.ref.value.node;
  for (int64_t axis : node(i).attrs.ints("axes"))
    for (LabelId l : ref.layout[static_cast<size_t>(axis)].labels) a.over.push_back(l);
  a.product = exponent ? run_exponent(ref, depth + 1) : run(ref, depth + 1);
  return a;
}

std::shared_ptr<Denominator> Decomposer::softmax_sum(const Item& i, int depth) {
  auto sum = std::make_shared<Denominator>();
  sum->node = i.ref.value.node;
  Ref x{node(i).inputs[0], i.ref.layout};
  const auto axis = static_cast<size_t>(node(i).attrs.integer("axis"));
  const LabelId l = table_.add(view_.shape(x.value)[axis]);
  x.layout[axis] = {{l}, 0, 1};
  Addend a;
  a.node = i.ref.value.node;
  a.over = {l};
  a.product = run_exponent(x, depth + 1);
  add_sum(*sum, std::move(a));
  return sum;
}

// A product with ones is a sum.
bool Decomposer::summed_by_product(const Item& i, Product& p, int depth) {
  if (depth >= kDeepest || (!view_.tainted(i.ref.value) && !view_.weighted(i.ref.value))) return false;
  const auto c = contraction_at(view_, table_, behind(i.ref));
  if (!c || view_.role(c->node) == Role::sum) return false;
  for (const auto& [e, ones] : {std::pair(&c->a, &c->b), std::pair(&c->b, &c->a)}) {
    if (!view_.tainted(e->value) || !reads_ones(*ones)) continue;
    auto sum = std::make_shared<Denominator>();
    sum->node = c->node;
    Addend a;
    a.node = c->node;
    a.over = c->reduced;
    a.product = run(*e, depth + 1);
    add_sum(*sum, std::move(a));
    p.sums.emplace_back(std::move(sum), i.sign);
    return true;
  }
  return false;
}

// True where all that is read is 1, perhaps a column of ones beside others.
bool Decomposer::reads_ones(Ref ref) {
  for (int steps = 0; steps < kDeepest; ++steps) {
    const auto n = view_.number(ref.value);
    if (n) return *n == 1;
    ref = behind(std::move(ref));
    if (view_.role(ref.value) != Role::concat) break;
    auto part = part_of(ref);
    if (!part) return false;
    ref = std::move(*part);
  }
  const auto n = view_.number(ref.value);
  return n && *n == 1;
}

// Sums, and what is added to them or guards them.
bool Decomposer::denominator(const Item& i, Product& p, int depth) {
  if (depth >= kDeepest) return false;
  auto sum = std::make_shared<Denominator>();
  sum->node = i.ref.value.node;
  std::vector<Ref> open{i.ref};
  while (!open.empty()) {
    const Ref ref = open.back();
    open.pop_back();
    const Item item{ref, 1, false};
    if (++items_ > kMostItems) return false;
    const Role r = view_.role(ref.value);
    const Node& n = view_.node(ref.value);
    if (r == Role::sum && view_.tainted(ref.value)) {
      add_sum(*sum, summed(before_sum(view_, table_, ref), item, false, depth));
    } else if (r == Role::add && view_.tainted(ref.value)) {
      open.push_back(input(item, 1));
      open.push_back(input(item, 0));
    } else if (r == Role::maximum && view_.number(n.inputs[1])) {
      sum->floor = std::max(sum->floor, *view_.number(n.inputs[1]));
      open.push_back(input(item, 0));
    } else if (r == Role::maximum && view_.number(n.inputs[0])) {
      sum->floor = std::max(sum->floor, *view_.number(n.inputs[0]));
      open.push_back(input(item, 1));
    } else if (r == Role::clip && std::isinf(n.attrs.number("high"))) {
      sum->floor = std::max(sum->floor, n.attrs.number("low"));
      open.push_back(input(item));
    } else if (r == Role::where) {
      if (!zero_test(item, *sum, open)) return false;
    } else if (view_.tainted(ref.value) && (floating_cast(item) || r == Role::same || r == Role::reshape ||
                                            r == Role::permute || r == Role::broadcast)) {
      std::vector<Item> next;
      if (floating_cast(item))
        open.push_back(input(item));
      else if (to_view(item, next))
        open.push_back(next[0].ref);
      else
        return false;
    } else {
      Addend a;
      a.node = ref.value.node;
      a.product = run(ref, depth + 1);
      sum->addends.push_back(std::move(a));
    }
  }
  const bool any = std::any_of(sum->addends.begin(), sum->addends.end(),
                               [](const Addend& a) { return !a.over.empty() || !a.product.sums.empty(); });
  if (any) p.sums.emplace_back(std::move(sum), i.sign);
  return any;
}

bool Decomposer::zero_test(const Item& i, Denominator& sum, std::vector<Ref>& open) {
  bool zero = true;  // the condition says that the sum is 0
  Ref condition = behind(input(i, 0));
  for (int steps = 0; steps < kDeepest && view_.node(condition.value).op->name() == "logical_not"; ++steps) {
    zero = !zero;
    condition = behind(operand(view_, condition, 0));
  }
  const Node& test = view_.node(condition.value);
  const std::string& name = test.op->name();
  const bool greater = name == "greater" || name == "less_equal",
             less = name == "less" || name == "greater_equal";
  if (name != "equal" && name != "not_equal" && !greater && !less) return false;
  if (name == "not_equal" || name == "greater" || name == "less") zero = !zero;
  const size_t kept = zero ? 2 : 1;
  if (!view_.number(node(i).inputs[3 - kept])) return false;
  const auto same = [&](const Ref& a, const Ref& b) {
    return key_of(table_, view_.canonical(a.value), a.layout) ==
           key_of(table_, view_.canonical(b.value), b.layout);
  };
  for (const size_t tested : {size_t{0}, size_t{1}}) {
    if ((tested == 0 && less) || (tested == 1 && greater) || !is_zero(test.inputs[1 - tested])) continue;
    if (!same(behind(operand(view_, condition, tested)), behind(input(i, kept)))) continue;
    sum.zero_guard = true;
    open.push_back(input(i, kept));
    return true;
  }
  return false;
}

}  // namespace fovea::match
