#include "optim/attention/match.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "optim/attention/empty_rows.h"
#include "optim/attention/fills.h"
#include "optim/attention/keeps_shifts.h"
#include "optim/attention/near_misses.h"

namespace fovea::match {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr int kMostReadings = 4;

class Matcher {
 public:
  Matcher(const View& view, ConstantForms& forms, Verdict& out)
      : view_(view), out_(out), r_(std::make_unique<Region>(view, forms)), table_(r_->table), e_(r_->e) {}

  void run(Value root, int side) {
    r_->root = {root, fresh_layout(table_, view_.shape(root))};
    Product product = decompose(view_, table_, r_->root, side);
    if (product.contraction.node < 0) return;
    // A sum of probabilities and other numbers.
    if (!product.has_exponential && product.blocked < 0 && !product.sums.empty())
      product.blocked = product.sums[0].first->node;
    if (!product.has_exponential && product.blocked < 0) return;
    if (!product.has_exponential) {
      refuse_blocked(view_, product, out_);
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
      out_.candidate = contraction_above(view_, exponent_);
      out_.why = std::move(why);
      return;
    }
    if (p_.node >= 0) out_.softmax = p_.node;
    if (!match()) out_.candidate = out_.why.reason != Reason::none && contraction_above(view_, exponent_);
  }

 private:
  Labels resolved(const Layout& layout) const { return table_.resolve(flat(layout)); }
  Labels read_by(const Ref& ref) const { return resolved(ref.layout); }
  std::string name_of(const Ref& ref) const { return key_of(table_, view_.canonical(ref.value), ref.layout); }

  NodeId softmax_of(const Product& product) const {
    for (const auto& [sum, sign] : product.sums)
      if (sum->node >= 0) return sum->node;
    return product.contraction.node;
  }

  bool match() {
    Reader reader(view_, table_, e_, r_->forms, keys_, without(read_by(probabilities_), read_by(r_->v)),
                  read_by(probabilities_));
    if (!read_score(reader) || !choose_products(*r_, keys_, out_.why) || !read_factors(reader) ||
        !read_sink(reader) || !independent() || !choose_axes(*r_, probabilities_, p_.node, keys_, out_.why) ||
        !tells_fills_apart() || !worth_it())
      return false;
    out_.region = std::move(r_);
    return true;
  }

  // ---- the score

  // The sum of the terms; -1 where one is no floating-point number.
  int32_t read_terms(Reader& reader) {
    std::vector<int32_t> terms;
    // They were listed last first.
    for (size_t k = p_.terms.size(); k-- > 0;) {
      const Term& t = p_.terms[k];
      const int32_t x = reader.read(t.ref);
      if (e_.at(x).kind != Kind::real) return -1;
      terms.push_back(e_.binary(Code::mul, x, e_.constant(t.scale)));
    }
    if (terms.empty()) return -1;
    // Fills last: what is added to them is rounded as they are.
    std::stable_partition(terms.begin(), terms.end(),
                          [this](int32_t x) { return e_.at(x).has_product || !holds_fill(view_, e_, x); });
    return std::accumulate(terms.begin() + 1, terms.end(), terms.front(),
                           [this](int32_t sum, int32_t x) { return e_.binary(Code::add, sum, x); });
  }

  bool read_score(Reader& reader) {
    int32_t f = -1;
    // A leaf may cut labels after others were read by them: read again, so that equal products are one leaf.
    for (int times = 0; times < kMostReadings; ++times) {
      const int64_t before = table_.changes();
      f = read_terms(reader);
      if (f < 0) return refuse_type(p_.terms.empty() ? p_.node : p_.terms[0].ref.value.node);
      const bool mixed = !e_.keeps_fills && mixes_fills(view_, e_, f);
      if (table_.changes() == before && !mixed) break;
      e_.keeps_fills = e_.keeps_fills || mixed;
      reader.forget();
    }
    // Weights are read to the end: a mask must be seen as one.
    Reader whole(view_, table_, e_, r_->forms, keys_, {}, {}, /*leaves_outside=*/false);
    for (const Factor& factor : p_.weights) {
      const auto w = read_weight(whole, factor);
      if (!w) return false;
      weight_ = weight_ < 0 ? *w : e_.binary(Code::mul, weight_, *w);
    }
    if (weight_ < 0 && p_.epsilon > 0)
      return out_.why.because(Reason::denominator, p_.node,
                              "the sum that divides counts the exponentials twice",
                              "exp(scores) / sum(exp(scores)) over the keys");
    // exp(f) w = exp(f + log w); a weight of 0 masks.
    if (weight_ >= 0) f = weighted(f, e_.binary(Code::add, weight_, e_.constant(p_.epsilon)));
    r_->score = as_read_ = f;
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
      out_.why.because(Reason::denominator, w.ref.value.node,
                       "the exponentials are weighted by numbers that are no mask before they are summed",
                       "where(mask, scores, -inf) before the softmax");
      return std::nullopt;
    }
    return x;
  }

  bool refuse_type(NodeId node) {
    return out_.why.because(Reason::dtype, node, "the scores are not floating-point numbers",
                            "scores in f32");
  }

  // ---- factors and sinks

  bool read_factors(Reader& reader) {
    int32_t g = -1;
    const std::vector<int32_t> masks = score_masks();
    std::vector<Factor> rest;
    for (const Factor& f : p_.factors) {
      if (!is_of_rows(f) || (f.what != Factor::What::keep && f.what != Factor::What::drop)) {
        rest.push_back(f);
      } else if (asks_for_empty_rows(view_, table_, e_, reader, as_read_, keys_, f.ref,
                                     f.what == Factor::What::drop)) {
        if (r_->guard == "none") r_->guard = "empty";
      } else {
        r_->row_factors.push_back(f);
      }
    }
    const bool masks_rows = !r_->row_factors.empty();
    for (const Factor& f : rest) {
      // Behind a mask of rows that may be no numbers: so that its gradient is none, either.
      if (masks_rows && is_of_rows(f) && f.what == Factor::What::plain &&
          is_floating(view_.dtype(f.ref.value)) && !view_.number(f.ref.value) &&
          !r_->depends_on_scores(f.ref.value)) {
        r_->row_factors.push_back(f);
        continue;
      }
      const auto x = read_factor(reader, f, masks);
      if (!x) return false;
      if (*x < 0) continue;
      g = g < 0 ? *x : times(g, *x);
    }
    if (weight_ >= 0 && p_.epsilon > 0) {
      // The numerator has the weight, the sum weight + epsilon.
      const int32_t share =
          e_.binary(Code::div, weight_, e_.binary(Code::add, weight_, e_.constant(p_.epsilon)));
      g = g < 0 ? share : times(g, share);
    }
    if (g >= 0 && e_.at(g).has_product)
      return out_.why.because(Reason::non_pointwise, p_.node,
                              "a factor of the probabilities depends on the scores",
                              "factors free of the scores: dropout, gates, masks", "mul");
    r_->factor = g;
    if (p_.zero_guard) r_->guard = "empty";
    if (p_.nan_guard) r_->guard = "nan";
    // In a row without keys probabilities are no numbers: times 0 they would be none in the values' gradient.
    r_->hides_rows = masks_rows && r_->guard == "none" && has_infinite_fill(e_, r_->score);
    if (r_->hides_rows) r_->guard = "empty";
    return true;
  }

  bool is_of_rows(const Factor& f) const { return !contains_any(read_by(f.ref), table_.resolve(keys_)); }

  // The product of two factors; what selects 0 does so even where the other is infinite.
  int32_t times(int32_t a, int32_t b) {
    for (const auto& [choice, other] : {std::pair(b, a), std::pair(a, b)}) {
      const Expr x = e_.at(choice);
      if (x.code != Code::select || (!e_.is_number(x.b, 0) && !e_.is_number(x.c, 0))) continue;
      const auto branch = [&, factor = other](int32_t c) {
        return e_.is_number(c, 0) ? c : times(factor, c);
      };
      const int32_t yes = branch(x.b), no = branch(x.c);
      return e_.select(x.a, yes, no);
    }
    return e_.binary(Code::mul, a, b);
  }

  // Conditions that set scores to minus infinity.
  std::vector<int32_t> score_masks() {
    std::vector<int32_t> masks, open{r_->score};
    while (!open.empty()) {
      const Expr x = e_.at(open.back());
      open.pop_back();
      if (x.code == Code::select && e_.is_number(x.c, -kInf)) {
        masks.push_back(x.a);
        open.push_back(x.b);
      } else if (x.code == Code::select && e_.is_number(x.b, -kInf)) {
        masks.push_back(e_.unary(Code::logical_not, x.a));
        open.push_back(x.c);
      } else if (x.code == Code::add) {
        open.insert(open.end(), {x.a, x.b});
      }
    }
    return masks;
  }

  // True where a factor divides by what may be 0.
  bool may_be_infinite() const {
    return std::any_of(p_.factors.begin(), p_.factors.end(), [this](const Factor& f) {
      const auto n = view_.number(f.ref.value);
      return f.what == Factor::What::plain && f.sign < 0 && (!n || *n == 0);
    });
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
    if (e_.is_constant(x) && e_.at(x).index == 0) {
      out_.why.because(Reason::cost, f.ref.value.node, "behind the softmax all weights are replaced by 0",
                       "a mask that keeps some weights");
      return std::nullopt;
    }
    // The same mask as before the softmax: only rows without keys change, and what is infinite.
    if (std::find(masks.begin(), masks.end(), x) != masks.end()) {
      if (r_->guard == "none") r_->guard = "empty";
      if (!may_be_infinite()) return -1;
    }
    return e_.select(x, e_.constant(1), e_.constant(0));
  }

  bool read_sink(Reader& reader) {
    // Terms free of the keys cancel; with a sink, or where they are masks of rows, they count.
    std::vector<Term> kept;
    bool all_kept = !p_.divided;
    for (const Term& t : p_.shift) {
      const auto n = view_.number(t.ref.value);
      if (n && std::isfinite(*n)) continue;
      const bool own = r_->depends_on_scores(t.ref.value);
      const int32_t x = own ? -1 : reader.read(t.ref);
      if (own || e_.at(x).has_product || e_.at(x).kind != Kind::real) {
        all_kept = false;
        continue;
      }
      kept.push_back(t);
    }
    const auto read = [&](const Term& t) {
      return e_.binary(Code::mul, reader.read(t.ref), e_.constant(t.scale));
    };
    for (const Term& t : kept) r_->score = e_.binary(Code::add, r_->score, read(t));
    for (const Product& s : p_.sinks) {
      int32_t a = -1;
      const auto plus = [&](int32_t x) { a = a < 0 ? x : e_.binary(Code::add, a, x); };
      std::vector<Term> again = kept;
      for (const Term& t : s.terms) {
        if (r_->depends_on_scores(t.ref.value)) return refuse_sink(t.ref.value.node);
        // What was taken out of the sum and is put back: it may be infinite.
        const auto opposite = std::find_if(again.begin(), again.end(), [&](const Term& k) {
          return k.scale == -t.scale && name_of(k.ref) == name_of(t.ref);
        });
        if (opposite == again.end())
          plus(read(t));
        else
          again.erase(opposite);
      }
      for (const Factor& f : s.factors) {
        if (f.what != Factor::What::plain || r_->depends_on_scores(f.ref.value))
          return refuse_sink(f.ref.value.node);
        if (!is_positive(view_, f.ref.value))
          return out_.why.because(
              Reason::denominator, f.ref.value.node,
              "what is added to the sum of the exponentials is multiplied by a tensor that may be 0 "
              "or below, where it has no logarithm",
              "exp(scores) / (sum(exp(scores)) + exp(sink))");
        const int32_t x = e_.unary(Code::log, reader.read(f.ref));
        plus(f.sign > 0 ? x : e_.unary(Code::neg, x));
      }
      for (const Term& t : again) plus(read(t));
      if (a < 0) a = e_.constant(0);
      if (e_.at(a).has_product || e_.at(a).kind != Kind::real) return refuse_sink(p_.node);
      r_->sink = r_->sink < 0 ? a
                              : e_.unary(Code::log, e_.binary(Code::add, e_.unary(Code::exp, r_->sink),
                                                              e_.unary(Code::exp, a)));
    }
    return keep_underflow(all_kept);
  }

  // exp(scores) without a maximum is 0 for a row of low scores (a large negative fill), and a guard gives 0
  // for such a row. A sink as small as the least exponential does the same and is lost beside other sums.
  bool keep_underflow(bool all_kept) {
    if (!keeps_shifts(*r_, p_, keys_, as_read_, out_.why)) return false;
    if (p_.nan_guard && multiplies_infinity(e_, r_->score))
      return out_.why.because(
          Reason::empty_row, p_.node,
          "a mask of minus infinity is multiplied by an index, and no number where that is 0; the "
          "guard behind it makes the whole row 0",
          "scores scaled before they are masked");
    if (!p_.may_underflow || !p_.sinks.empty() || !(p_.nan_guard || p_.zero_guard)) return true;
    const int32_t least = e_.constant(least_exponent());
    if (all_kept)
      r_->sink = r_->sink < 0 ? least : e_.binary(Code::maximum, r_->sink, least);
    else if (may_fall_low())
      return out_.why.because(Reason::empty_row, p_.node,
                              "a row whose scores are all masked sums to 0, which a guard behind it makes 0",
                              "minus infinity for masked scores, or their maximum subtracted");
    return true;
  }
  bool may_fall_low() const { return match::may_fall_low(e_, table_, r_->score, keys_); }
  // Masks that would become equal in the computing type, or unequal in one that is wider than the user's.
  bool tells_fills_apart() {
    if (holds_no_number(e_, r_->results()))
      return out_.why.because(
          Reason::dtype, p_.node,
          "a constant among the scores is no number (NaN): a mask that is infinite in its type was "
          "multiplied by 0",
          "the lowest finite number of the type for masked scores, or where(mask, scores, -inf)");
    const bool wider = r_->dtype == DType::f64 && view_.dtype({p_.node, 0}) != DType::f64;
    if (r_->dtype == DType::f64 ? !wider || fills_stay_equal(e_, r_->score)
                                : fills_stay_apart(view_, e_, r_->score, !p_.shift.empty()))
      return true;
    return out_.why.because(
        Reason::empty_row, p_.node,
        "masks of several sizes leave the range of f32, where they can no longer be told apart",
        "minus infinity, or one number, for masked scores");
  }
  double least_exponent() const {
    return view_.graph.nodes[static_cast<size_t>(p_.node)].outputs[0].dtype == DType::f64 ? -744 : -103;
  }
  bool refuse_sink(NodeId node) {
    return out_.why.because(Reason::denominator, node,
                            "what is added to the sum of the exponentials depends on the scores",
                            "exp(scores) / (sum(exp(scores)) + exp(sink)), the sink free of the scores");
  }

  // ---- legality

  // No leaf may be made of the scores.
  bool independent() {
    for (int32_t x : e_.reachable(r_->results())) {
      if (e_.at(x).code != Code::input) continue;
      const Leaf& leaf = e_.leaves[static_cast<size_t>(e_.at(x).index)];
      if (leaf.what != Leaf::What::value || !r_->depends_on_scores(leaf.ref.value)) continue;
      const std::string& op = view_.node(leaf.ref.value).op->name();
      const bool along = !contains_any(read_by(leaf.ref), table_.resolve(keys_));
      return out_.why.because(
          along ? Reason::reduces_j : Reason::non_pointwise, leaf.ref.value.node,
          along ? "the score of a key depends on the scores of other keys, through " + op
                : "between the scores and the softmax stands " + op + ", which is not elementwise",
          "elementwise operations between the product of queries and keys and the softmax", op);
    }
    if (r_->depends_on_scores(r_->v.value))
      return out_.why.because(Reason::cost, r_->v.value.node, "the values are made of the scores themselves",
                              "values that do not depend on the scores");
    return true;
  }

  // A mere sum of weighted probabilities that are used elsewhere is part of something else.
  bool worth_it() const {
    return view_.role(r_->root.value) != Role::sum || !r_->channels.empty() ||
           view_.uses(probabilities_.value.node).size() == 1;
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
  int32_t as_read_ = -1;  // the score before products were chosen
};

}  // namespace

Ref deepest(const View& view, LabelTable& table, Ref ref) {
  for (int steps = 0; steps < 256; ++steps) {
    auto behind = behind_view(view, table, ref, false);
    if (!behind) break;
    ref = std::move(*behind);
  }
  return ref;
}

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
