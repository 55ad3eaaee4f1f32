#include <algorithm>
#include <cmath>

#include "optim/attention/match.h"

namespace fovea::match {
namespace {

// Products whose factors differ by more are not summed in one: a mask of 1e9 (1 - m m^T) would leave nothing
// of the scores beside it.
constexpr double kMostApart = 256;
constexpr int64_t kMostRank = int64_t{1} << 40;

// Finds queries and keys among the contractions that a score reads.
class Products {
 public:
  Products(Region& region, const Labels& keys, Refusal& why)
      : r_(region), view_(region.view), table_(region.table), e_(region.e), keys_(keys), why_(why) {}

  bool run() {
    std::vector<Choice> choices;
    for (int32_t x : e_.reachable({r_.score})) {
      const Expr& at = e_.at(x);
      if (at.code != Code::input || e_.leaves[static_cast<size_t>(at.index)].what != Leaf::What::product)
        continue;
      if (auto c = candidate(at.index)) choices.push_back(std::move(*c));
    }
    if (choices.empty()) return why_.reason != Reason::none ? false : no_products();
    const auto best = std::max_element(choices.begin(), choices.end(),
                                       [&](const Choice& a, const Choice& b) { return rank(a) < rank(b); });
    r_.scores = best->leaf;
    r_.pairs.push_back(best->pair);
    why_ = {};
    for (const Choice& c : choices)
      if (c.leaf != best->leaf) join(*best, c);
    put_scale();
    // All others are computed outside.
    const std::vector<int32_t> left = e_.reachable({r_.score});
    for (size_t i = 0; i < e_.leaves.size(); ++i) {
      Leaf& leaf = e_.leaves[i];
      if (leaf.what != Leaf::What::product || static_cast<int64_t>(i) == r_.scores) continue;
      leaf.what = Leaf::What::value;
      if (std::any_of(left.begin(), left.end(), [&](int32_t e) {
            return e_.at(e).code == Code::input && e_.at(e).index == static_cast<int64_t>(i);
          }))
        r_.notes.push_back("a second product is computed outside and added as a bias");
    }
    return true;
  }

 private:
  Labels resolved(const Layout& layout) const { return table_.resolve(flat(layout)); }
  Labels read_by(const Ref& ref) const { return resolved(ref.layout); }

  struct Choice {
    int64_t leaf;
    Pair pair;
    Labels queries;
  };

  bool is_parameter(const Ref& ref) const {
    Value v = ref.value;
    while (view_.role(v) == Role::cast || view_.role(v) == Role::same) v = view_.node(v).inputs[0];
    return (view_.role(v) == Role::input || view_.role(v) == Role::constant) && view_.shape(v).size() <= 2;
  }

  // The tensor behind views and multiplications by a number, which go into `scale`.
  Ref unscaled(Ref ref, double& scale) {
    for (int steps = 0; steps < 16; ++steps) {
      ref = deepest(view_, table_, std::move(ref));
      const Role role = view_.role(ref.value);
      if (role != Role::mul && role != Role::div) break;
      const Node& n = view_.node(ref.value);
      const auto left = role == Role::mul ? view_.number(n.inputs[0]) : std::nullopt,
                 right = view_.number(n.inputs[1]);
      const double by = right ? (role == Role::mul ? *right : 1 / *right) : left.value_or(0);
      if (!std::isfinite(by) || by == 0 || (left && right)) break;
      scale *= by;
      ref = operand(view_, ref, right ? 0 : 1);
    }
    return ref;
  }

  // Queries and keys of a contraction, or why it has none.
  std::optional<Choice> candidate(int64_t leaf) {
    const Contraction& c = e_.leaves[static_cast<size_t>(leaf)].contraction;
    Choice choice{leaf, {c.a, c.b, c.reduced, 1, c.node}, {}};
    choice.pair.q = unscaled(c.a, choice.pair.scale);
    choice.pair.k = unscaled(c.b, choice.pair.scale);
    const Labels inner = table_.resolve(c.reduced), v = read_by(r_.v);
    const Labels q = without(read_by(choice.pair.q), inner), k = without(read_by(choice.pair.k), inner);
    const Labels only = without(q, k);
    choice.queries = without(only, v);
    const Labels keys = table_.resolve(keys_);
    const bool batched = !without(without(k, keys), q).empty();
    if (choice.queries.empty() && !only.empty() && !batched) {
      why_.because(Reason::cost, c.node,
                   "every query has values of its own, which would be read anew for every head or batch",
                   "values that all queries share");
      return std::nullopt;
    }
    if (choice.queries.empty() && !only.empty()) {
      why_.because(Reason::head_mix, c.node,
                   "a contraction between the scores and the softmax mixes heads, or makes a bias: it has no "
                   "queries of its own",
                   "scores of every head from its own queries and keys");
      return std::nullopt;
    }
    // One learned query for all keys of a sequence pools it.
    const bool pools = q.empty() && without(without(k, keys), v).empty();
    if (is_parameter(choice.pair.q) && batched && !pools &&
        (c.swapped || !without(only, choice.queries).empty())) {
      why_.because(Reason::cost, c.node,
                   "the softmax runs over a projection by a weight: rows are channels, not queries",
                   "scores from queries and keys");
      return std::nullopt;
    }
    return choice;
  }

  // ---- several products in one sum

  struct Summand {
    int32_t e;
    double scale;
  };
  // The sum e as summands; nodes that are used elsewhere stay whole. So do sums without a product: large
  // numbers that cancel in them, as those of (1 - m) * -1e4, would swallow the scores.
  std::vector<Summand> summands(int32_t e, const std::vector<int32_t>& uses) const {
    std::vector<Summand> open{{e, 1}}, out;
    while (!open.empty()) {
      const Summand s = open.back();
      open.pop_back();
      const Expr& x = e_.at(s.e);
      const bool own = s.e == e || (uses[static_cast<size_t>(s.e)] == 1 && x.has_product);
      if (own && (x.code == Code::add || x.code == Code::sub)) {
        open.push_back({x.b, x.code == Code::add ? s.scale : -s.scale});
        open.push_back({x.a, s.scale});
      } else if (own && x.code == Code::mul && e_.is_constant(x.b)) {
        open.push_back({x.a, s.scale * e_.at(x.b).number});
      } else {
        out.push_back(s);
      }
    }
    return out;
  }

  // What multiplied queries and keys multiplies the scores.
  void put_scale() {
    const double scale = r_.pairs[0].scale;
    if (scale == 1) return;
    for (Pair& p : r_.pairs) p.scale /= scale;
    for (int32_t e : e_.reachable({r_.score}))
      if (e_.at(e).code == Code::input && e_.at(e).index == r_.scores) {
        r_.score = e_.replaced(r_.score, e, e_.binary(Code::mul, e, e_.constant(scale)));
        return;
      }
  }

  // a s + b t becomes one product, over the channels of both.
  void join(const Choice& best, const Choice& other) {
    const Labels k = read_by(other.pair.k), inner = table_.resolve(other.pair.inner);
    const Labels queries = table_.resolve(best.queries);
    Labels left = queries;
    for (const Pair& p : r_.pairs) left = without(left, read_by(p.k));
    if (!queries.empty() && without(left, k).empty()) return;
    const std::vector<int32_t> reached = e_.reachable({r_.score});
    std::vector<int32_t> uses(static_cast<size_t>(r_.score) + 1, 0);
    for (int32_t e : reached)
      for (int32_t x : {e_.at(e).a, e_.at(e).b, e_.at(e).c})
        if (x >= 0) ++uses[static_cast<size_t>(x)];
    for (int32_t e : reached) {
      if (e_.at(e).code != Code::add && e_.at(e).code != Code::sub) continue;
      double a = 0, b = 0;
      int32_t product = -1;
      std::vector<Summand> rest;
      for (const Summand& s : summands(e, uses)) {
        const Expr& x = e_.at(s.e);
        const bool once = x.code == Code::input && uses[static_cast<size_t>(s.e)] == 1;
        if (once && x.index == best.leaf)
          a = s.scale, product = s.e;
        else if (once && x.index == other.leaf)
          b = s.scale;
        else
          rest.push_back(s);
      }
      if (a == 0 || b == 0 || std::fabs(b / a) > kMostApart || std::fabs(a / b) > kMostApart) continue;
      int32_t sum = e_.binary(Code::mul, product, e_.constant(a));
      for (const Summand& s : rest)
        sum = e_.binary(Code::add, sum, e_.binary(Code::mul, s.e, e_.constant(s.scale)));
      r_.score = e_.replaced(r_.score, e, sum);
      r_.pairs.push_back(other.pair);
      r_.pairs.back().scale *= b / a;
      r_.notes.push_back("two products in one, over the channels of both");
      return;
    }
  }

  int64_t rank(const Choice& c) const {
    int64_t n = c.queries.empty() ? 0 : 1;
    for (LabelId l : without(table_.resolve(c.pair.inner), {}))
      n = n * 2 + (table_.size(l).is_const() ? std::min<int64_t>(table_.size(l).value(), 4096) : 4096);
    // A product with blocks of keys, by which blocks are chosen, is not the scores of the keys.
    return contains_all(read_by(c.pair.k), table_.resolve(keys_)) ? n : n - kMostRank;
  }

  static bool is_view(Role r) {
    return r == Role::same || r == Role::reshape || r == Role::permute || r == Role::broadcast ||
           r == Role::slice || r == Role::unstack || r == Role::cast;
  }
  // A product with a weight, perhaps with a bias.
  bool is_projection(Value v) const {
    std::vector<Value> made{v};
    if (view_.role(v) == Role::add) made = view_.node(v).inputs;
    return std::any_of(made.begin(), made.end(), [this](Value m) {
      const Role r = view_.role(m);
      const auto& in = view_.node(m).inputs;
      return r == Role::linear ||
             ((r == Role::matmul || r == Role::einsum) &&
              std::any_of(in.begin(), in.end(), [this](Value x) { return is_weight(x); }));
    });
  }
  bool is_weight(Value x) const {
    while (!view_.node(x).inputs.empty() && is_view(view_.role(x))) x = view_.node(x).inputs[0];
    return is_parameter({x, {}});
  }
  // Why the expression has no scores in it: what stands in the way is among its leaves.
  bool no_products() {
    const Labels keys = table_.resolve(keys_);
    for (int32_t x : e_.reachable({r_.score})) {
      if (e_.at(x).code != Code::input) continue;
      const Leaf& leaf = e_.leaves[static_cast<size_t>(e_.at(x).index)];
      if (leaf.what != Leaf::What::value) continue;
      const Role role = view_.role(leaf.ref.value);
      if (role == Role::input || role == Role::constant) continue;
      Value made = leaf.ref.value;
      while (!view_.node(made).inputs.empty() && is_view(view_.role(made))) made = view_.node(made).inputs[0];
      const Role maker = view_.role(made);
      if (maker == Role::input || maker == Role::constant) continue;
      const bool moved = made != leaf.ref.value;
      const std::string& op = view_.node(moved ? leaf.ref.value : made).op->name();
      if (moved && is_projection(made))
        return why_.because(Reason::cost, leaf.ref.value.node,
                            "the softmax runs over a projection, not over products of queries and keys",
                            "scores from queries and keys");
      if (moved)
        return why_.because(
            Reason::non_pointwise, leaf.ref.value.node,
            "between the scores and the softmax stands " + op + ", which cuts across their axes",
            "reshapes that keep the axes of queries and keys apart", op);
      if (maker == Role::linear && view_.node(made).inputs.size() == 3)
        return why_.because(Reason::non_pointwise, leaf.ref.value.node,
                            "the scores are made by linear with a bias, which is read as one operation",
                            "the product of queries and keys, then the bias added to it", op);
      if (maker == Role::sum || maker == Role::shift)
        return why_.because(
            Reason::non_pointwise, leaf.ref.value.node,
            "the scores are a " + op + " over pairs of queries and keys that is no product of two tensors",
            "matmul(queries, keys^T); of |q - k|^2 = q q - 2 q k + k k the first cancels", op);
      if (maker == Role::matmul || maker == Role::linear || maker == Role::einsum)
        return why_.because(
            Reason::axis, leaf.ref.value.node,
            "the tokens that the softmax sums over are in both or in none of the factors of " + op,
            "scores from queries and keys, the keys on one side only");
      return why_.because(Reason::non_pointwise, leaf.ref.value.node,
                          "between the scores and the softmax stands " + op + ", which is not elementwise",
                          "elementwise operations between the product of queries and keys and the softmax",
                          op);
    }
    return false;
  }

  Region& r_;
  const View& view_;
  LabelTable& table_;
  Expressions& e_;
  const Labels& keys_;
  Refusal& why_;
};

}  // namespace

bool choose_products(Region& region, const Labels& keys, Refusal& why) {
  return Products(region, keys, why).run();
}

}  // namespace fovea::match
