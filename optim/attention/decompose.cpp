#include "optim/attention/probability.h"

#include <algorithm>
#include <cmath>

namespace fovea::match {
namespace {

constexpr size_t kMostItems = 512;  // taken apart for one candidate
constexpr int kDeepest = 6;         // sums within sums

// Takes a value apart, factor by factor.
class Decomposer {
  // A factor to the power `sign` (1 or -1), or exp(scale * ref).
  struct Item {
    Ref ref;
    int sign;
    bool exponent;
    double scale = 1;
  };

 public:
  Decomposer(const View& view, LabelTable& table, int side) : view_(view), table_(table), side_(side) {}

  Product run(const Ref& ref, int depth) { return take_apart({ref, 1, false}, depth); }
  /// exp of `ref`.
  Product run_exponent(const Ref& ref, int depth, double scale = 1) {
    Product p = take_apart({ref, 1, true, scale}, depth);
    p.has_exponential = true;
    return p;
  }

 private:
  Product take_apart(Item first, int depth) {
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

  const Node& node(const Item& i) const { return view_.node(i.ref.value); }
  Ref input(const Item& i, size_t n = 0) const { return operand(view_, i.ref, n); }

  bool to_view(const Item& i, std::vector<Item>& open) {
    auto behind = behind_view(view_, table_, i.ref);
    if (!behind) return false;
    open.push_back({std::move(*behind), i.sign, i.exponent, i.scale});
    return true;
  }
  bool floating_cast(const Item& i) const {
    return view_.role(i.ref.value) == Role::cast && is_floating(view_.dtype(i.ref.value)) &&
           is_floating(view_.dtype(node(i).inputs[0]));
  }

  static bool is_view(Role r) {
    return r == Role::same || r == Role::reshape || r == Role::permute || r == Role::broadcast ||
           r == Role::slice;
  }

  // The operand of a concatenation that is read, where it is exactly one.
  std::optional<Ref> part_of(const Ref& ref) {
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
  void add_sum(Denominator& sum, Addend a) {
    const auto reads_all = [&](const Term& t) {
      return contains_any(table_.resolve(flat(t.ref.layout)), table_.resolve(a.over));
    };
    std::vector<Term>& terms = a.product.terms;
    const auto at = std::find_if(terms.begin(), terms.end(), reads_all);
    const bool splits = at != terms.end() && view_.role(at->ref.value) == Role::concat && at->scale > 0 &&
                        std::count_if(terms.begin(), terms.end(), reads_all) == 1 &&
                        a.product.factors.empty();
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

  // exp of the terms that are left is the product of the exps.
  void exponent(const Item& i, Product& p, std::vector<Item>& open, int depth) {
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
        push(input(i, right ? 0 : 1), std::fabs(std::fabs(scale) - 1) < 1e-12 ? (scale < 0 ? -1 : 1) : scale);
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

  // sum over fresh labels of exp (exponent) or of the value itself.
  Addend summed(const Ref& ref, const Item& i, bool exponent, int depth) {
    Addend a;
    a.node = i.ref.value.node;
    for (int64_t axis : node(i).attrs.ints("axes"))
      for (LabelId l : ref.layout[static_cast<size_t>(axis)].labels) a.over.push_back(l);
    a.product = exponent ? run_exponent(ref, depth + 1) : run(ref, depth + 1);
    return a;
  }
  std::shared_ptr<Denominator> softmax_sum(const Item& i, int depth) {
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

  void factor(const Item& i, Product& p, std::vector<Item>& open, int depth) {
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

  // sigmoid(x) = exp(x) / (exp(x) + 1).
  void logistic(const Item& i, Product& p, std::vector<Item>& open, int depth) {
    auto sum = std::make_shared<Denominator>();
    sum->node = i.ref.value.node;
    Addend a;
    a.node = i.ref.value.node;
    a.product = run_exponent(input(i), depth + 1);
    sum->addends.push_back(std::move(a));
    sum->addends.emplace_back();  // 1
    sum->addends.back().node = i.ref.value.node;
    p.sums.emplace_back(std::move(sum), -1);
    open.push_back({input(i), 1, true});
  }

  // The product with the values: once, and on the way to the probabilities.
  bool contract(const Item& i, Product& p, std::vector<Item>& open) {
    if (p.contraction.node >= 0 || i.sign < 0) return false;
    const Role r = view_.role(i.ref.value);
    if (r != Role::matmul && r != Role::linear && r != Role::einsum && r != Role::sum) return false;
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

  // A product with ones is a sum.
  bool summed_by_product(const Item& i, Product& p, int depth) {
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
  bool reads_ones(Ref ref) {
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

  bool is_positive(Value v) const {
    v = unwrapped(v);
    const Role r = view_.role(v);
    return r == Role::exp || r == Role::softmax || r == Role::power;
  }
  bool is_zero(Value v) const {
    const auto n = view_.number(v);
    return n && *n == 0;
  }

  // where(c, x, 0), where(isnan(x), 0, x), where(sum == 0, 1, sum).
  bool guarded(const Item& i, Product& p, std::vector<Item>& open, int depth) {
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
  bool never_holds(Value condition) const {
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
  bool is_finite(Value v) const {
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
  bool hides_division(const Ref& guarded, int depth) {
    if (depth >= kDeepest) return true;
    const Product inside = run(guarded, depth + 1);
    return std::any_of(inside.factors.begin(), inside.factors.end(), [this](const Factor& f) {
      const auto n = view_.number(f.ref.value);
      return f.sign < 0 && (!n || *n == 0);
    });
  }
  // True where the condition says that x is NaN (`nan`), or that it is not.
  bool tests_nan(Ref condition, const Ref& x, bool nan) {
    condition = behind(std::move(condition));
    for (; view_.node(condition.value).op->name() == "logical_not"; nan = !nan)
      condition = behind(operand(view_, condition, 0));
    const std::string& name = view_.node(condition.value).op->name();
    const auto reads_x = [&](size_t k) {
      const Ref a = behind(operand(view_, condition, k)), b = behind(x);
      return key_of(table_, view_.canonical(a.value), a.layout) ==
             key_of(table_, view_.canonical(b.value), b.layout);
    };
    if (nan) return (name == "is_nan" && reads_x(0)) || (name == "not_equal" && reads_x(0) && reads_x(1));
    return (name == "is_finite" && reads_x(0)) || (name == "equal" && reads_x(0) && reads_x(1));
  }
  // What lies behind views and casts.
  Ref behind(Ref ref) {
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
  Value unwrapped(Value v) const {
    while (view_.role(v) == Role::same || floating_cast({{v, {}}, 1, false})) v = view_.node(v).inputs[0];
    return v;
  }

  // Sums, and what is added to them or guards them.
  bool denominator(const Item& i, Product& p, int depth) {
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

  bool zero_test(const Item& i, Denominator& sum, std::vector<Ref>& open) {
    const Node& n = node(i);
    const Value condition = n.inputs[0];
    const std::string& name = view_.node(condition).op->name();
    if (name != "equal" && name != "not_equal" && name != "greater") return false;
    const size_t kept = name == "equal" ? 2 : 1;
    if (!view_.number(n.inputs[3 - kept])) return false;
    const Node& test = view_.node(condition);
    if (!is_zero(test.inputs[1]) || view_.canonical(test.inputs[0]) != view_.canonical(n.inputs[kept]))
      return false;
    sum.zero_guard = true;
    open.push_back(input(i, kept));
    return true;
  }

  const View& view_;
  LabelTable& table_;
  int side_;
  size_t items_ = 0;
};

}  // namespace

std::vector<Term> exponent_terms(const View& view, LabelTable& table, const Ref& ref) {
  return Decomposer(view, table, 0).run_exponent(ref, kDeepest).terms;
}

Product decompose(const View& view, LabelTable& table, const Ref& ref, int side) {
  return Decomposer(view, table, side).run(ref, 0);
}

}  // namespace fovea::match
