#include "optim/attention/probability.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "optim/attention/shifts.h"

namespace fovea::match {
namespace {

// The terms of what is maximised, and the labels over which it is.
struct Maximum {
  std::vector<Term> terms;
  Labels over;
};
std::optional<Maximum> maximum_at(const View& view, LabelTable& table, const Ref& ref) {
  // That of other rows is read from elsewhere.
  for (const AxisMap& m : ref.layout)
    if (m.step != 1 || m.start != Dim(0)) return std::nullopt;
  const Reduced r = reduction_at(view, table, ref);
  if (r.node < 0 || view.role(r.node) != Role::max) return std::nullopt;
  return Maximum{exponent_terms(view, table, r.of), r.over};
}
// Equal but for the rounding of 1 / c in x * (1 / c) beside x / c, or of a change of base.
bool same_scale(const View& view, const Ref& ref, double a, double b) {
  const auto rounding = [&] {
    switch (view.dtype(ref.value)) {
      case DType::f64:
        return 1e-12;
      case DType::bf16:
        return 2e-3;
      case DType::f16:
        return 5e-4;
      default:
        return 2e-7;
    }
  };
  return a == b || std::fabs(a - b) <= rounding() * std::fabs(a);
}

class Normaliser {
 public:
  Normaliser(const View& view, LabelTable& table, Product& p, const Labels& keys, Refusal& why)
      : view_(view), table_(table), p_(p), keys_(keys), why_(why) {}

  bool run(Probability& out) {
    if (p_.blocked >= 0) return blocked();
    if (!pull_out()) return false;
    cancel();
    return assemble(out);
  }

 private:
  bool blocked() {
    const std::string& op = view_.graph.nodes[static_cast<size_t>(p_.blocked)].op->name();
    why_ = no_factor(p_.blocked, op);
    return false;
  }

  std::string key(const Ref& r) const { return key_of(table_, view_.canonical(r.value), r.layout); }
  bool reads(const Ref& r, const Labels& labels) const {
    return contains_any(table_.resolve(flat(r.layout)), table_.resolve(labels));
  }

  // Makes the labels of a sum those over which the same exponential is contracted.
  bool unify(const Addend& main) {
    const Labels keys = table_.resolve(keys_);
    bool elsewhere = false, within = false;
    for (const Term& t : main.product.terms)
      for (const Term& u : p_.terms) {
        if (view_.canonical(t.ref.value) != view_.canonical(u.ref.value)) continue;
        const Labels over = table_.resolve(main.over);
        Labels ours;
        bool same = true, summed = false;
        for (size_t d = 0; d < t.ref.layout.size(); ++d) {
          const Labels a = table_.resolve(t.ref.layout[d].labels), b = table_.resolve(u.ref.layout[d].labels);
          const AxisMap &x = t.ref.layout[d], &y = u.ref.layout[d];
          if (contains_any(a, over) && a.size() == b.size()) {  // label by label
            for (size_t k = 0; k < a.size(); ++k) {
              if (contains(over, a[k]))
                ours.push_back(b[k]);
              else
                same = same && a[k] == b[k];
            }
            same = same && x.start == y.start && x.step == y.step;
            summed = true;
            continue;
          }
          const bool here = contains_any(a, over);
          summed = summed || here;
          same = same && x.start == y.start && x.step == y.step && (here || a == b);
          if (here) ours.insert(ours.end(), b.begin(), b.end());
        }
        if (!summed || !same) continue;
        if (contains_all(keys, ours) && contains_all(ours, keys))
          return table_.unify(main.over, ours) || refuse_sum(main.node);
        elsewhere = true;
        within = within || contains_all(keys, ours);
      }
    if (!elsewhere) return refuse_sum(main.node);
    if (within)
      return why_.because(Reason::head_mix, p_.contraction.node,
                          "the product with the values sums over another axis beside the keys, such as heads",
                          "the values summed over the keys alone, then the sum over heads");
    if (is_weight(p_.values.value))
      return why_.because(
          Reason::head_mix, p_.contraction.node,
          "the product behind the softmax mixes heads: it sums over another axis than the softmax",
          "the values summed over the keys before heads are mixed");
    return why_.because(Reason::axis, main.node,
                        "the softmax runs over other tokens than the product with the values",
                        "softmax over the keys, and the values summed over the same keys");
  }
  // True for a matrix that the function is given.
  bool is_weight(Value v) const {
    while (view_.role(v) == Role::cast || view_.role(v) == Role::same || view_.role(v) == Role::permute)
      v = view_.node(v).inputs[0];
    return (view_.role(v) == Role::input || view_.role(v) == Role::constant) && view_.shape(v).size() <= 2;
  }
  bool refuse_sum(NodeId node) {
    return why_.because(Reason::denominator, node,
                        "what divides is not the sum of the exponentials over the keys",
                        "exp(scores) / sum(exp(scores)) over the keys");
  }

  // A multiple of a sum is the sum of multiples: where no other addend is a sum, that one is.
  static void distribute(Denominator& d) {
    const auto is_sum = [](const Addend& a) { return !a.over.empty(); };
    if (std::any_of(d.addends.begin(), d.addends.end(), is_sum)) return;
    for (Addend& a : d.addends) {
      if (a.product.sums.size() != 1 || a.product.sums[0].second != 1) continue;
      const auto inner = a.product.sums[0].first;
      if (inner->addends.size() != 1 || inner->floor > 0 || inner->zero_guard) continue;
      a.product.sums.clear();
      multiply(a.product, inner->addends[0].product, 1);
      a.product.has_exponential = true;
      a.over = inner->addends[0].over;
      return;
    }
  }

  // Free factors of a sum stand before it.
  bool pull_out() {
    for (size_t k = 0; k < p_.sums.size(); ++k) {
      if (p_.sums.size() > 16) return refuse_sum(p_.sums[k].first->node);
      const auto sum = p_.sums[k].first;
      distribute(*sum);
      const int sign = p_.sums[k].second;
      const auto main = std::find_if(sum->addends.begin(), sum->addends.end(),
                                     [](const Addend& a) { return !a.over.empty(); });
      const auto others = std::count_if(sum->addends.begin(), sum->addends.end(),
                                        [](const Addend& a) { return !a.over.empty(); });
      if (main == sum->addends.end() || others != 1 || main->product.blocked >= 0 ||
          !main->product.has_exponential || main->product.contraction.node >= 0)
        return refuse_sum(sum->node);
      std::iter_swap(sum->addends.begin(), main);
      if (!unify(sum->addends[0])) return false;
      Product& m = sum->addends[0].product;
      Product pulled;
      const auto split = [&](auto& from, auto& to) {
        const auto free = std::stable_partition(from.begin(), from.end(),
                                                [&](const auto& x) { return reads(x.ref, keys_); });
        to.insert(to.end(), std::make_move_iterator(free), std::make_move_iterator(from.end()));
        from.erase(free, from.end());
      };
      split(m.terms, pulled.terms);
      split(m.factors, pulled.factors);
      sum->divided = !m.sums.empty();
      pulled.sums = std::move(m.sums);
      m.sums.clear();
      if (!may_divide(pulled, sum->addends.size() > 1)) return refuse_sum(sum->node);
      sum->shift = pulled.terms;
      sum->reaches_one = reaches_one(pulled.terms, m);
      multiply(p_, pulled, sign);
      for (size_t a = 1; a < sum->addends.size(); ++a) multiply(sum->addends[a].product, pulled, -1);
    }
    return true;
  }

  // A factor of 0 leaves of a sum what else is added to it, and nothing to divide; one below 0 has no
  // logarithm. What stands before the exponential as well cancels, where nothing else is added.
  bool may_divide(const Product& pulled, bool has_others) const {
    const auto cancels = [&](const Factor& f) {
      return !has_others && std::any_of(p_.factors.begin(), p_.factors.end(), [&](const Factor& g) {
        return g.what == f.what && g.sign == f.sign && key(g.ref) == key(f.ref);
      });
    };
    return std::all_of(pulled.factors.begin(), pulled.factors.end(), [&](const Factor& f) {
      if (f.what != Factor::What::plain && f.what != Factor::What::minus) return cancels(f);
      const auto n = view_.number(f.ref.value);
      const bool safe = f.what == Factor::What::minus ? !has_others
                        : n && *n < 0                 ? !has_others
                                                      : is_positive(view_, f.ref.value);
      return safe || cancels(f);
    });
  }
  static void multiply(Product& p, const Product& by, int sign) {
    for (const Term& t : by.terms) p.terms.push_back({t.ref, t.scale * sign});
    for (const Factor& f : by.factors) p.factors.push_back({f.what, f.ref, f.sign * sign});
    for (const auto& [sum, s] : by.sums) p.sums.emplace_back(sum, s * sign);
  }

  // Names of a sum's main addend and of the whole; equal names, equal sums.
  std::string key(const Denominator& d) const {
    std::vector<std::string> parts;
    const auto add = [&](const Product& p, const std::string& mark) {
      for (const Term& t : p.terms) parts.push_back(mark + "t" + std::to_string(t.scale) + key(t.ref));
      for (const Factor& f : p.factors)
        parts.push_back(mark + "f" + std::to_string(f.sign) + std::to_string(static_cast<int>(f.what)) +
                        key(f.ref));
    };
    for (size_t a = 0; a < d.addends.size(); ++a) add(d.addends[a].product, a == 0 ? "" : "+");
    std::sort(parts.begin(), parts.end());
    std::string out;
    for (const std::string& p : parts) out += p + ";";
    return out;
  }

  template <class List, class Same>
  static void cancel(List& list, Same same) {
    for (size_t i = 0; i < list.size(); ++i)
      for (size_t j = i + 1; j < list.size(); ++j) {
        if (!same(list[i], list[j])) continue;
        list.erase(list.begin() + static_cast<std::ptrdiff_t>(j));
        list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
        --i;
        break;
      }
  }
  void cancel(Product& p) {
    cancel(p.terms, [this](const Term& a, const Term& b) {
      return same_scale(view_, a.ref, a.scale, -b.scale) && key(a.ref) == key(b.ref);
    });
    cancel(p.factors, [this](const Factor& a, const Factor& b) {
      return a.sign == -b.sign && a.what == b.what && key(a.ref) == key(b.ref);
    });
    cancel(p.sums, [this](const auto& a, const auto& b) {
      return a.second == -b.second && (a.first == b.first || key(*a.first) == key(*b.first));
    });
  }
  void cancel() {
    cancel(p_);
    for (auto& [sum, sign] : p_.sums)
      for (Addend& a : sum->addends) cancel(a.product);
  }

  bool assemble(Probability& out) {
    if (p_.sums.size() != 1 || p_.sums[0].second != -1) {
      const NodeId node = p_.sums.empty() ? p_.contraction.node : p_.sums[0].first->node;
      return refuse_sum(node);
    }
    const Denominator& d = *p_.sums[0].first;
    const Product& m = d.addends[0].product;
    // The exponents agree, and what weighs the sum weighs the numerator, too.
    std::vector<Term> rest = p_.terms;
    for (const Term& t : m.terms)
      if (!take(rest, t)) return refuse_sum(d.node);
    if (!rest.empty()) return refuse_sum(d.node);
    out.factors = p_.factors;
    for (const Factor& f : m.factors) {
      if (!take(out.factors, f)) return refuse_sum(d.node);
      out.weights.push_back(f);
    }
    out.terms = m.terms;
    out.shift = d.shift;
    out.zero_guard = d.zero_guard;
    out.nan_guard = p_.nan_guard;
    out.node = d.addends[0].node;
    const Role made_by = view_.role(out.node);
    out.divided = d.divided;
    out.may_underflow = !out.weights.empty() || (!d.reaches_one && made_by != Role::softmax &&
                                                 made_by != Role::log_softmax && made_by != Role::logsumexp);
    for (size_t a = 1; a < d.addends.size(); ++a)
      if (!addend(d.addends[a], d, m, out)) return false;
    if (d.floor > 0 && !floor(d, out)) return false;
    return true;
  }
  bool take(std::vector<Term>& list, const Term& t) {
    for (size_t i = 0; i < list.size(); ++i)
      if (same_scale(view_, t.ref, list[i].scale, t.scale) && key(list[i].ref) == key(t.ref)) {
        list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
        return true;
      }
    return false;
  }
  bool take(std::vector<Factor>& list, const Factor& f) {
    for (size_t i = 0; i < list.size(); ++i)
      if (list[i].sign == f.sign && list[i].what == f.what && key(list[i].ref) == key(f.ref)) {
        list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
        return true;
      }
    return false;
  }

  // The number that a product is, but for the terms of its exponent.
  std::optional<double> number(const Product& p) const {
    double x = 1;
    for (const Factor& f : p.factors) {
      const auto n = f.what == Factor::What::plain ? view_.number(f.ref.value) : std::nullopt;
      if (!n) return std::nullopt;
      x = f.sign > 0 ? x * *n : x / *n;
    }
    return x;
  }
  // True where exp(scores) is 1 for some key: their maximum was subtracted, and nothing else but what the
  // maximum has in it as well.
  bool reaches_one(const std::vector<Term>& shift, const Product& main) const {
    return std::any_of(shift.begin(), shift.end(), [&](const Term& most) {
      if (!is_row_maximum(most, main)) return false;
      const auto within = maximum_at(view_, table_, most.ref);
      return std::all_of(shift.begin(), shift.end(), [&](const Term& t) {
        const auto n = view_.number(t.ref.value);
        return &t == &most || (n && *n * t.scale >= 0) ||
               std::any_of(within->terms.begin(), within->terms.end(), [&](const Term& w) {
                 return same_scale(view_, t.ref, -most.scale * w.scale, t.scale) && key(w.ref) == key(t.ref);
               });
      });
    });
  }
  bool is_row_maximum(const Term& t, const Product& main) const {
    return match::is_row_maximum(view_, table_, {t.ref, -t.scale}, main.terms, keys_);
  }

  bool is_row_maximum(const std::vector<Term>& terms, const Product& main) const {
    return terms.size() == 1 && match::is_row_maximum(view_, table_, terms[0], main.terms, keys_);
  }
  // True for terms that only take back what was pulled out of a sum that is at least 1.
  bool undoes(const std::vector<Term>& terms, const Denominator& d) {
    std::vector<Term> shift = d.shift;
    return d.reaches_one && terms.size() == shift.size() &&
           std::all_of(terms.begin(), terms.end(), [&](const Term& t) {
             return take(shift, {t.ref, -t.scale});
           });
  }

  bool addend(const Addend& a, const Denominator& d, const Product& main, Probability& out) {
    const Product& t = a.product;
    if (t.blocked >= 0 || t.contraction.node >= 0) return refuse_sum(a.node);
    const auto n = number(t);
    // epsilon * sum exp: weights that are never 0.
    if (t.sums.size() == 1 && t.sums[0].second == 1 && t.terms.empty() && n && *n > 0) {
      const Denominator& s = *t.sums[0].first;
      std::vector<Term> rest = s.addends[0].product.terms;
      bool equal = s.addends.size() == 1 && s.addends[0].product.factors.empty();
      for (const Term& u : main.terms) equal = equal && take(rest, u);
      if (!equal || !rest.empty() || out.epsilon != 0) return refuse_sum(a.node);
      out.epsilon = *n;
      return true;
    }
    if (!t.sums.empty()) return refuse_sum(a.node);
    // A guard against division by 0 that is lost beside the sum, which is at least 1.
    if (n && *n == 0) return true;
    const double lost = is_wide(a.node) ? 1e-14 : 1e-7;
    if (n && *n > 0 && *n <= lost && (undoes(t.terms, d) || is_row_maximum(t.terms, main))) {
      out.zero_guard = true;
      return true;
    }
    out.sinks.push_back(t);
    return true;
  }
  bool is_wide(NodeId addend) const { return view_.dtype({addend, 0}) == DType::f64; }

  // max(sum, floor) where the sum is at least 1 or 0.
  bool floor(const Denominator& d, Probability& out) {
    if (d.floor > 1 || d.addends.size() != 1) return refuse_sum(d.node);
    if (!d.reaches_one)
      return why_.because(
          Reason::denominator, d.node,
          "the sum of the exponentials is kept from being small, which it is where all scores are low",
          "exp(scores - max(scores)): its sum over the keys is at least 1");
    out.zero_guard = true;
    return true;
  }

  const View& view_;
  LabelTable& table_;
  Product& p_;
  Labels keys_;
  Refusal& why_;
};

}  // namespace

Refusal no_factor(NodeId node, const std::string& op) {
  return {Reason::non_pointwise, node, op,
          "between the softmax and the product with the values stands " + op +
              ", which does not multiply the probabilities",
          "softmax(scores) * factor, then the product with the values"};
}

bool is_positive(const View& view, Value v) {
  for (;;) {
    if (const auto n = view.number(v)) return *n > 0 && std::isfinite(*n);
    switch (view.role(v)) {
      case Role::same:
      case Role::stop_gradient:
      case Role::cast:
      case Role::reshape:
      case Role::permute:
      case Role::broadcast:
      case Role::slice:
      case Role::reciprocal:
        v = view.node(v).inputs[0];
        break;
      default: {
        const std::string& name = view.node(v).op->name();
        return view.role(v) == Role::exp || view.role(v) == Role::power || name == "sigmoid" ||
               name == "softplus" || name == "extent";
      }
    }
  }
}

bool is_row_maximum(const View& view, LabelTable& table, const Term& term, const std::vector<Term>& main,
                    const Labels& keys) {
  if (term.scale < 0) return false;
  const auto most = maximum_at(view, table, term.ref);
  // A maximum over more than the keys may leave a row's own scores far behind.
  if (!most || table.size(table.resolve(most->over)) != table.size(table.resolve(keys))) return false;
  // What is free of the keys was pulled out of the sum and shifts the maximum by as much.
  return std::all_of(main.begin(), main.end(), [&](const Term& u) {
    return std::any_of(most->terms.begin(), most->terms.end(), [&](const Term& t) {
      return view.canonical(t.ref.value) == view.canonical(u.ref.value) &&
             same_scale(view, u.ref, t.scale * term.scale, u.scale) &&
             covers_row(table, t.ref, most->over, u.ref, keys);
    });
  });
}

bool shifts_alike(const View& view, LabelTable& table, const Term& maximum, const std::vector<Term>& main,
                  const std::vector<Term>& shift) {
  const auto most = maximum_at(view, table, maximum.ref);
  return most && std::all_of(most->terms.begin(), most->terms.end(), [&](const Term& t) {
           const auto same = [&](const Term& u) {
             return view.canonical(t.ref.value) == view.canonical(u.ref.value);
           };
           return view.number(t.ref.value) || std::any_of(main.begin(), main.end(), same) ||
                  std::any_of(shift.begin(), shift.end(), [&](const Term& u) {
                    return same(u) && same_scale(view, u.ref, t.scale * -maximum.scale, u.scale);
                  });
         });
}

bool normalise(const View& view, LabelTable& table, Product product, const Labels& keys, Probability& out,
               Refusal& why) {
  return Normaliser(view, table, product, keys, why).run(out);
}

}  // namespace fovea::match
