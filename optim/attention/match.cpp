#include "optim/attention/match.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fovea::match {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr size_t kMostAxes = 7;            // of an attention node's operands
constexpr size_t kMostLabels = 8;          // of a tensor on the way into the node
constexpr int64_t kUnknownSize = 1 << 20;  // what a symbol counts as when sizes are compared

// The tensor behind all views, with the layout in which it is read.
Ref deepest(const View& view, LabelTable& table, Ref ref) {
  for (int steps = 0; steps < 256; ++steps) {
    auto behind = behind_view(view, table, ref, false);
    if (!behind) break;
    ref = std::move(*behind);
  }
  return ref;
}

class Matcher {
 public:
  Matcher(const View& view, ConstantForms& forms, Verdict& out)
      : view_(view), out_(out), r_(std::make_unique<Region>(view, forms)), table_(r_->table), e_(r_->e) {}

  void run(Value root, int side) {
    r_->root = {root, fresh_layout(table_, view_.shape(root))};
    Product product = decompose(view_, table_, r_->root, side);
    if (product.contraction.node < 0) return;
    if (!product.has_exponential && product.blocked < 0) return;
    if (!product.has_exponential) {
      blocked(product);
      return;
    }
    probabilities_ = product.probabilities;
    out_.scores = probabilities_.value;
    r_->v = deepest(view_, table_, product.values);
    keys_ = product.contraction.reduced;
    exponent_ = product.terms;
    out_.softmax = softmax_of(product);
    Refusal why;
    if (!normalise(view_, table_, std::move(product), keys_, p_, why)) {
      out_.candidate = contraction_above();
      out_.why = std::move(why);
      return;
    }
    if (p_.node >= 0) out_.softmax = p_.node;
    if (!match()) out_.candidate = out_.why.reason != Reason::none && contraction_above();
  }

 private:
  bool refuse(Reason reason, NodeId node, std::string sentence, std::string nearest,
              std::string detail = "") {
    out_.why = {reason, node, std::move(detail), std::move(sentence), std::move(nearest)};
    return false;
  }
  Labels resolved(const Layout& layout) const { return table_.resolve(flat(layout)); }
  Labels read_by(const Ref& ref) const { return resolved(ref.layout); }

  // The exponential stands behind something that is no product of probabilities.
  void blocked(const Product& product) {
    NodeId id = product.blocked;
    const std::string& op = view_.graph.nodes[static_cast<size_t>(id)].op->name();
    // Search a softmax above it; without one this is no candidate.
    std::vector<NodeId> open{id};
    std::vector<NodeId> seen;
    while (!open.empty() && seen.size() < 64) {
      const NodeId at = open.back();
      open.pop_back();
      if (std::find(seen.begin(), seen.end(), at) != seen.end()) continue;
      seen.push_back(at);
      const Role role = view_.role(at);
      if (role == Role::softmax || role == Role::exp) {
        out_.softmax = at;
        exponent_.push_back({{view_.graph.nodes[static_cast<size_t>(at)].inputs[0], {}}, 1});
        break;
      }
      for (const Value& v : view_.graph.nodes[static_cast<size_t>(at)].inputs)
        if (view_.tainted(v)) open.push_back(v.node);
    }
    if (out_.softmax < 0 || view_.role(out_.softmax) != Role::softmax) return;
    out_.candidate = contraction_above();
    refuse(Reason::non_pointwise, id,
           "between the softmax and the product with the values stands " + op +
               ", which does not multiply the probabilities",
           "softmax(scores) * factor, then the product with the values", op);
  }

  NodeId softmax_of(const Product& product) const {
    for (const auto& [sum, sign] : product.sums)
      if (sum->node >= 0) return sum->node;
    return product.contraction.node;
  }

  // True where a product of tensors lies above the scores, through any ops.
  bool contraction_above() const {
    std::vector<NodeId> open, seen;
    for (const Term& t : exponent_) open.push_back(t.ref.value.node);
    while (!open.empty() && seen.size() < 256) {
      const NodeId id = open.back();
      open.pop_back();
      if (std::find(seen.begin(), seen.end(), id) != seen.end()) continue;
      seen.push_back(id);
      const Role r = view_.role(id);
      if (r == Role::matmul || r == Role::linear || r == Role::einsum) return true;
      for (const Value& v : view_.graph.nodes[static_cast<size_t>(id)].inputs) open.push_back(v.node);
    }
    return false;
  }

  bool match() {
    Reader reader(view_, table_, e_, r_->forms, keys_, without(read_by(probabilities_), read_by(r_->v)),
                  read_by(probabilities_));
    if (!read_score(reader) || !choose_products() || !read_factors(reader) || !read_sink(reader) ||
        !independent() || !choose_axes())
      return false;
    choose_type();
    choose_order();
    out_.region = std::move(r_);
    return true;
  }

  // ---- the score

  bool read_score(Reader& reader) {
    int32_t f = -1;
    // Terms were listed last first.
    for (size_t k = p_.terms.size(); k-- > 0;) {
      const Term& t = p_.terms[k];
      int32_t x = reader.read(t.ref);
      if (e_.at(x).kind != Kind::real) return refuse_type(t.ref.value.node);
      x = e_.binary(Code::mul, x, e_.constant(t.scale));
      f = f < 0 ? x : e_.binary(Code::add, f, x);
    }
    if (f < 0) return refuse_type(p_.node);
    // Weights are read to the end: a mask must be seen as one.
    Reader whole(view_, table_, e_, r_->forms, keys_, {}, {}, /*leaves_outside=*/false);
    for (const Factor& factor : p_.weights) {
      const auto w = read_weight(whole, factor);
      if (!w) return false;
      weight_ = weight_ < 0 ? *w : e_.binary(Code::mul, weight_, *w);
    }
    if (weight_ < 0 && p_.epsilon > 0)
      return refuse(Reason::denominator, p_.node, "the sum that divides counts the exponentials twice",
                    "exp(scores) / sum(exp(scores)) over the keys");
    // exp(f) w = exp(f + log w); a weight of 0 masks.
    if (weight_ >= 0) f = weighted(f, e_.binary(Code::add, weight_, e_.constant(p_.epsilon)));
    r_->score = f;
    return true;
  }

  // f + log(w): where w chooses between constants, log is known.
  int32_t weighted(int32_t f, int32_t w) {
    const Expr x = e_.at(w);
    if (x.code == Code::select && e_.is_constant(x.b) && e_.is_constant(x.c)) {
      const auto branch = [&](int32_t c) {
        const double n = e_.at(c).number;
        return n == 0 ? e_.constant(-kInf) : e_.binary(Code::add, f, e_.constant(std::log(n)));
      };
      return e_.select(x.a, branch(x.b), branch(x.c));
    }
    return e_.binary(Code::add, f, e_.unary(Code::log, w));
  }

  std::optional<int32_t> read_weight(Reader& reader, const Factor& w) {
    int32_t x = reader.read(w.ref);
    if (w.what == Factor::What::keep) x = e_.select(x, e_.constant(1), e_.constant(0));
    if (w.what == Factor::What::drop) x = e_.select(x, e_.constant(0), e_.constant(1));
    const Expr at = e_.at(x);
    const bool choice = at.code == Code::select && e_.is_constant(at.b) && e_.is_constant(at.c);
    // Any other weight may be 0, where its logarithm has no gradient.
    if (w.what == Factor::What::dropout || w.what == Factor::What::minus || w.sign < 0 || at.has_product ||
        (!choice && p_.epsilon == 0)) {
      refuse(Reason::denominator, w.ref.value.node,
             "the exponentials are weighted by numbers that are no mask before they are summed",
             "where(mask, scores, -inf) before the softmax");
      return std::nullopt;
    }
    return x;
  }

  bool refuse_type(NodeId node) {
    return refuse(Reason::dtype, node, "the scores are not floating-point numbers", "scores in f32");
  }

  // ---- queries and keys

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

  // Queries and keys of a contraction, or why it has none.
  std::optional<Choice> candidate(int64_t leaf) {
    const Contraction& c = e_.leaves[static_cast<size_t>(leaf)].contraction;
    Choice choice{leaf, {deepest(view_, table_, c.a), deepest(view_, table_, c.b), c.reduced, 1, c.node}, {}};
    const Labels inner = table_.resolve(c.reduced), v = read_by(r_->v);
    const Labels q = without(read_by(choice.pair.q), inner), k = without(read_by(choice.pair.k), inner);
    const Labels only = without(q, k);
    choice.queries = without(only, v);
    if (choice.queries.empty() && !only.empty()) {
      refuse(Reason::head_mix, c.node,
             "a contraction between the scores and the softmax mixes heads, or makes a bias: it has no "
             "queries of its own",
             "scores of every head from its own queries and keys");
      return std::nullopt;
    }
    const Labels keys = table_.resolve(keys_);
    const bool batched = !without(without(k, keys), q).empty();
    if (is_parameter(choice.pair.q) && batched && (c.swapped || !without(only, choice.queries).empty())) {
      refuse(Reason::cost, c.node,
             "the softmax runs over a projection by a weight: rows are channels, not queries",
             "scores from queries and keys");
      return std::nullopt;
    }
    return choice;
  }

  bool choose_products() {
    std::vector<Choice> choices;
    for (int32_t x : e_.reachable({r_->score})) {
      const Expr& at = e_.at(x);
      if (at.code != Code::input || e_.leaves[static_cast<size_t>(at.index)].what != Leaf::What::product)
        continue;
      if (auto c = candidate(at.index)) choices.push_back(std::move(*c));
    }
    if (choices.empty()) return out_.why.reason != Reason::none ? false : no_products();
    const auto best = std::max_element(choices.begin(), choices.end(),
                                       [&](const Choice& a, const Choice& b) { return rank(a) < rank(b); });
    r_->scores = best->leaf;
    r_->pairs.push_back(best->pair);
    out_.why = {};
    for (const Choice& c : choices)
      if (c.leaf != best->leaf) join(*best, c);
    // All others are computed outside.
    const std::vector<int32_t> left = e_.reachable({r_->score});
    for (size_t i = 0; i < e_.leaves.size(); ++i) {
      Leaf& leaf = e_.leaves[i];
      if (leaf.what != Leaf::What::product || static_cast<int64_t>(i) == r_->scores) continue;
      leaf.what = Leaf::What::value;
      if (std::any_of(left.begin(), left.end(), [&](int32_t e) {
            return e_.at(e).code == Code::input && e_.at(e).index == static_cast<int64_t>(i);
          }))
        r_->notes.push_back("a second product is computed outside and added as a bias");
    }
    return true;
  }

  // ---- several products in one sum

  struct Summand {
    int32_t e;
    double scale;
  };
  // The sum e as summands; nodes that are used elsewhere stay whole.
  std::vector<Summand> summands(int32_t e, const std::vector<int32_t>& uses) const {
    std::vector<Summand> open{{e, 1}}, out;
    while (!open.empty()) {
      const Summand s = open.back();
      open.pop_back();
      const Expr& x = e_.at(s.e);
      const bool own = s.e == e || uses[static_cast<size_t>(s.e)] == 1;
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

  // a s + b t becomes one product, over the channels of both.
  void join(const Choice& best, const Choice& other) {
    const Labels k = read_by(other.pair.k), inner = table_.resolve(other.pair.inner);
    const Labels queries = table_.resolve(best.queries);
    Labels left = queries;
    for (const Pair& p : r_->pairs) left = without(left, read_by(p.k));
    if (!queries.empty() && without(left, k).empty()) return;
    const std::vector<int32_t> reached = e_.reachable({r_->score});
    std::vector<int32_t> uses(static_cast<size_t>(r_->score) + 1, 0);
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
      if (a == 0 || b == 0) continue;
      int32_t sum = e_.binary(Code::mul, product, e_.constant(a));
      for (const Summand& s : rest)
        sum = e_.binary(Code::add, sum, e_.binary(Code::mul, s.e, e_.constant(s.scale)));
      r_->score = e_.replaced(r_->score, e, sum);
      r_->pairs.push_back(other.pair);
      r_->pairs.back().scale = b / a;
      r_->notes.push_back("two products in one, over the channels of both");
      return;
    }
  }

  int64_t rank(const Choice& c) const {
    int64_t n = c.queries.empty() ? 0 : 1;
    for (LabelId l : without(table_.resolve(c.pair.inner), {}))
      n = n * 2 + (table_.size(l).is_const() ? std::min<int64_t>(table_.size(l).value(), 4096) : 4096);
    return n;
  }

  // Why the expression has no scores in it: what stands in the way is among its leaves.
  bool no_products() {
    const Labels keys = table_.resolve(keys_);
    for (int32_t x : e_.reachable({r_->score})) {
      if (e_.at(x).code != Code::input) continue;
      const Leaf& leaf = e_.leaves[static_cast<size_t>(e_.at(x).index)];
      if (leaf.what != Leaf::What::value) continue;
      const Role role = view_.role(leaf.ref.value);
      if (role == Role::input || role == Role::constant) continue;
      const std::string& op = view_.node(leaf.ref.value).op->name();
      if (role == Role::matmul || role == Role::linear || role == Role::einsum)
        return refuse(Reason::axis, leaf.ref.value.node,
                      "the tokens that the softmax sums over are in both or in none of the factors of " + op,
                      "scores from queries and keys, the keys on one side only");
      return refuse(Reason::non_pointwise, leaf.ref.value.node,
                    "between the scores and the softmax stands " + op + ", which is not elementwise",
                    "elementwise operations between the product of queries and keys and the softmax", op);
    }
    return false;
  }

  // ---- factors and sinks

  bool read_factors(Reader& reader) {
    int32_t g = -1;
    const std::vector<int32_t> masks = score_masks();
    for (const Factor& f : p_.factors) {
      const Labels labels = read_by(f.ref);
      const bool row = !contains_any(labels, table_.resolve(keys_));
      if (row && (f.what == Factor::What::keep || f.what == Factor::What::drop)) {
        r_->row_masks.push_back(f);
        continue;
      }
      const auto x = read_factor(reader, f, masks);
      if (!x) return false;
      if (*x < 0) continue;
      g = g < 0 ? *x : e_.binary(Code::mul, g, *x);
    }
    if (weight_ >= 0 && p_.epsilon > 0) {
      // The numerator has the weight, the sum weight + epsilon.
      const int32_t share =
          e_.binary(Code::div, weight_, e_.binary(Code::add, weight_, e_.constant(p_.epsilon)));
      g = g < 0 ? share : e_.binary(Code::mul, g, share);
    }
    if (g >= 0 && e_.at(g).has_product)
      return refuse(Reason::non_pointwise, p_.node, "a factor of the probabilities depends on the scores",
                    "factors free of the scores: dropout, gates, masks", "mul");
    r_->factor = g;
    if (p_.zero_guard) r_->guard = "empty";
    if (p_.nan_guard) r_->guard = "nan";
    return true;
  }

  // Conditions that set scores to minus infinity.
  std::vector<int32_t> score_masks() const {
    std::vector<int32_t> masks, open{r_->score};
    while (!open.empty()) {
      const Expr x = e_.at(open.back());
      open.pop_back();
      if (x.code == Code::select && e_.is_number(x.c, -kInf)) {
        masks.push_back(x.a);
        open.push_back(x.b);
      } else if (x.code == Code::add) {
        open.insert(open.end(), {x.a, x.b});
      }
    }
    return masks;
  }

  // The expression of a factor; -1 where it is 1 for every key that counts.
  std::optional<int32_t> read_factor(Reader& reader, const Factor& f, const std::vector<int32_t>& masks) {
    if (f.what == Factor::What::dropout) {
      const Node& n = view_.node(f.ref.value);
      const double p = n.attrs.number("p");
      if (p <= 0) return -1;
      if (static_cast<float>(p) >= 1) return e_.constant(0);
      const int32_t bits = e_.random(n.inputs[1], n.attrs.integer("ordinal"), f.ref);
      return e_.select(e_.below(bits, p), e_.constant(0), e_.constant(1 / (1 - p)));
    }
    if (f.what == Factor::What::minus) return e_.constant(-1);
    int32_t x = reader.read(f.ref);
    if (f.what == Factor::What::plain) {
      if (e_.at(x).kind != Kind::real) x = e_.unary(Code::to_real, x);
      return f.sign > 0 ? x : e_.unary(Code::reciprocal, x);
    }
    if (f.what == Factor::What::drop) x = e_.unary(Code::logical_not, x);
    // The same mask as before the softmax: only rows without keys change.
    if (std::find(masks.begin(), masks.end(), x) != masks.end()) {
      if (r_->guard == "none") r_->guard = "empty";
      return -1;
    }
    return e_.select(x, e_.constant(1), e_.constant(0));
  }

  bool read_sink(Reader& reader) {
    // Terms free of the keys cancel; with a sink, or where they are masks of rows, they count.
    std::vector<int32_t> kept;
    for (const Term& t : p_.shift) {
      const auto n = view_.number(t.ref.value);
      if (n && std::isfinite(*n)) continue;
      if (depends_on_scores(t.ref.value)) continue;
      const int32_t x = reader.read(t.ref);
      if (e_.at(x).has_product || e_.at(x).kind != Kind::real) continue;
      kept.push_back(e_.binary(Code::mul, x, e_.constant(t.scale)));
    }
    for (int32_t x : kept) r_->score = e_.binary(Code::add, r_->score, x);
    for (const Product& s : p_.sinks) {
      int32_t a = -1;
      const auto plus = [&](int32_t x) { a = a < 0 ? x : e_.binary(Code::add, a, x); };
      for (const Term& t : s.terms) {
        if (depends_on_scores(t.ref.value)) return refuse_sink(t.ref.value.node);
        plus(e_.binary(Code::mul, reader.read(t.ref), e_.constant(t.scale)));
      }
      for (const Factor& f : s.factors) {
        if (f.what != Factor::What::plain || depends_on_scores(f.ref.value))
          return refuse_sink(f.ref.value.node);
        const int32_t x = e_.unary(Code::log, reader.read(f.ref));
        plus(f.sign > 0 ? x : e_.unary(Code::neg, x));
      }
      for (int32_t x : kept) plus(x);
      if (a < 0) a = e_.constant(0);
      if (e_.at(a).has_product || e_.at(a).kind != Kind::real) return refuse_sink(p_.node);
      r_->sink = r_->sink < 0 ? a
                              : e_.unary(Code::log, e_.binary(Code::add, e_.unary(Code::exp, r_->sink),
                                                              e_.unary(Code::exp, a)));
    }
    return true;
  }
  bool refuse_sink(NodeId node) {
    return refuse(Reason::denominator, node,
                  "what is added to the sum of the exponentials depends on the scores",
                  "exp(scores) / (sum(exp(scores)) + exp(sink)), the sink free of the scores");
  }

  // ---- legality

  bool depends_on_scores(Value v) const { return r_->pairs.empty() || view_.depends({v}, r_->pairs[0].node); }

  std::vector<int32_t> results() const {
    std::vector<int32_t> out{r_->score};
    if (r_->factor >= 0) out.push_back(r_->factor);
    if (r_->sink >= 0) out.push_back(r_->sink);
    return out;
  }

  // No leaf may be made of the scores.
  bool independent() {
    for (int32_t x : e_.reachable(results())) {
      if (e_.at(x).code != Code::input) continue;
      const Leaf& leaf = e_.leaves[static_cast<size_t>(e_.at(x).index)];
      if (leaf.what != Leaf::What::value || !depends_on_scores(leaf.ref.value)) continue;
      const std::string& op = view_.node(leaf.ref.value).op->name();
      const bool along = !contains_any(read_by(leaf.ref), table_.resolve(keys_));
      return refuse(along ? Reason::reduces_j : Reason::non_pointwise, leaf.ref.value.node,
                    along ? "the score of a key depends on the scores of other keys, through " + op
                          : "between the scores and the softmax stands " + op + ", which is not elementwise",
                    "elementwise operations between the product of queries and keys and the softmax", op);
    }
    if (depends_on_scores(r_->v.value))
      return refuse(Reason::cost, r_->v.value.node, "the values are made of the scores themselves",
                    "values that do not depend on the scores");
    return true;
  }

  // ---- axes

  bool choose_axes() {
    const Pair& pair = r_->pairs[0];
    r_->keys.clear();
    // Random numbers are counted in the order of the tensor that they fall on.
    const std::vector<int32_t> reached = e_.reachable(results());
    Labels order = read_by(probabilities_);
    for (int32_t x : reached)
      if (e_.at(x).code == Code::random) order = read_by(e_.streams[static_cast<size_t>(e_.at(x).index)].ref);
    for (LabelId l : read_by(probabilities_))
      if (!contains(order, l)) order.insert(order.begin(), l);
    const Labels keys = table_.resolve(keys_);
    for (LabelId l : order)
      if (contains(keys, l)) r_->keys.push_back(l);
    for (LabelId l : keys)
      if (!contains(r_->keys, l)) r_->keys.push_back(l);
    Labels used;
    const auto add = [&used](const Labels& labels) {
      for (LabelId l : labels)
        if (!contains(used, l)) used.push_back(l);
    };
    for (int32_t x : reached) {
      const Expr& at = e_.at(x);
      if (at.code == Code::input) add(read_by(e_.leaves[static_cast<size_t>(at.index)].ref));
      if (at.code == Code::iota) add(table_.resolve(e_.places[static_cast<size_t>(at.index)].labels));
      if (at.code == Code::random) add(read_by(e_.streams[static_cast<size_t>(at.index)].ref));
    }
    const Labels v = read_by(r_->v);
    Labels rows, k;
    for (const Pair& p : r_->pairs) {
      const Labels own = read_by(p.k), channels = table_.resolve(p.inner);
      k.insert(k.end(), own.begin(), own.end());
      add(without(read_by(p.q), channels));
      add(without(own, channels));
    }
    for (LabelId l : order)
      if (contains(used, l) && !contains(keys, l)) rows.push_back(l);
    for (LabelId l : used)
      if (!contains(rows, l) && !contains(keys, l))
        return refuse(Reason::axis, pair.node, "the scores have an axis that the probabilities lack",
                      "scores and probabilities over the same axes");
    // The query axis: the longest that neither keys nor values have, the last of several.
    LabelId query = -1;
    int64_t longest = -1;
    for (LabelId l : rows) {
      if (contains(k, l) || contains(v, l)) continue;
      const int64_t n = table_.size(l).is_const() ? table_.size(l).value() : kUnknownSize;
      if (n >= longest) query = l, longest = n;
    }
    if (query >= 0) r_->query = whole_query(query, rows, k, v, reached);
    r_->batch = without(rows, r_->query);
    r_->channels = without(without(v, rows), r_->keys);
    size_t most = std::max(r_->query.size(), r_->keys.size()) + r_->channels.size();
    for (const Pair& p : r_->pairs)
      most = std::max(most, std::max(r_->query.size(), r_->keys.size()) + table_.resolve(p.inner).size());
    most = std::max(most, r_->query.size() + r_->keys.size());
    if (r_->batch.size() + 2 > kMostAxes || r_->batch.size() + most > kMostLabels)
      return refuse(Reason::backend, pair.node,
                    std::to_string(r_->batch.size()) + " batch axes are more than the " +
                        std::to_string(kMostAxes - 2) + " that attention takes",
                    "fewer batch axes", "too many batch axes");
    return true;
  }

  // The query axis may have been cut by a leaf that is coarser than it (a table of blocks). Put together
  // again where nobody needs the finer part alone.
  Labels whole_query(LabelId query, const Labels& rows, const Labels& k, const Labels& v,
                     const std::vector<int32_t>& reached) {
    const Labels group = table_.resolve(Labels{table_.root(query)});
    if (group.size() < 2 || group.back() != query || !contains_all(rows, group) || contains_any(k, group) ||
        contains_any(v, group))
      return {query};
    const auto keeps = [&](const Labels& labels) {
      if (!contains(labels, query)) return true;
      const auto at = std::search(labels.begin(), labels.end(), group.begin(), group.end());
      return at != labels.end();
    };
    bool whole = keeps(read_by(r_->root)) && keeps(rows);
    for (const Pair& p : r_->pairs) whole = whole && keeps(read_by(p.q));
    for (int32_t x : reached) {
      const Expr& at = e_.at(x);
      if (at.code == Code::input)
        whole = whole && keeps(read_by(e_.leaves[static_cast<size_t>(at.index)].ref));
      if (at.code == Code::iota)
        whole = whole && keeps(table_.resolve(e_.places[static_cast<size_t>(at.index)].labels));
      if (at.code == Code::random)
        whole = whole && keeps(read_by(e_.streams[static_cast<size_t>(at.index)].ref));
    }
    return whole ? group : Labels{query};
  }

  // ---- element types and memory order

  bool has_wide_step() const {
    for (NodeId id : {p_.node, r_->pairs[0].node})
      if (view_.graph.nodes[static_cast<size_t>(id)].outputs[0].dtype == DType::f64) return true;
    return view_.dtype(probabilities_.value) == DType::f64;
  }
  // Products of half types are exact in f32, so widening before them says nothing.
  void narrow(Ref& ref, DType type) const {
    if (view_.role(ref.value) != Role::cast) return;
    const Value in = view_.node(ref.value).inputs[0];
    if (view_.dtype(in) == type && view_.dtype(ref.value) == DType::f32) {
      ref.value = in;
      ref = deepest(view_, r_->table, ref);
    }
  }
  void choose_type() {
    Pair& pair = r_->pairs[0];
    const DType v = view_.dtype(r_->v.value);
    if (v == DType::f16 || v == DType::bf16) {
      Ref q = pair.q, k = pair.k;
      narrow(q, v);
      narrow(k, v);
      if (view_.dtype(q.value) == v && view_.dtype(k.value) == v) pair.q = q, pair.k = k;
    }
    r_->dtype = v;
    for (const Pair& p : r_->pairs)
      r_->dtype = promote(r_->dtype, promote(view_.dtype(p.q.value), view_.dtype(p.k.value)));
    if (has_wide_step()) r_->dtype = DType::f64;
  }

  // The order of the result that makes what follows free: up to the next reshape.
  void choose_order() {
    Layout layout = r_->root.layout;
    NodeId at = r_->root.value.node;
    for (int steps = 0; steps < 16; ++steps) {
      const auto& uses = view_.uses(at);
      if (uses.size() != 1) break;
      const Role role = view_.role(uses[0]);
      if (role == Role::permute) {
        Layout next;
        for (int64_t a : view_.graph.nodes[static_cast<size_t>(uses[0])].attrs.ints("axes"))
          next.push_back(layout[static_cast<size_t>(a)]);
        layout = std::move(next);
      } else if (role != Role::same && role != Role::cast) {
        break;
      }
      at = uses[0];
    }
    r_->result_order = resolved(layout);
  }

  const View& view_;
  Verdict& out_;
  std::unique_ptr<Region> r_;
  LabelTable& table_;
  Expressions& e_;
  Ref probabilities_;
  Labels keys_;
  std::vector<Term> exponent_;
  Probability p_;
  int32_t weight_ = -1;
};

}  // namespace

Verdict match(const View& view, ConstantForms& forms, Value root, int side) {
  Verdict out;
  Matcher(view, forms, out).run(root, side);
  return out;
}

int weight_of(const Verdict& verdict) {
  if (verdict.region) return 3;
  if (!verdict.candidate) return 0;
  return verdict.why.reason == Reason::denominator ? 1 : 2;
}

}  // namespace fovea::match
