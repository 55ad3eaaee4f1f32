// Random spellings of attention: a layout, a scale, a bias, masks, a softmax and what follows it, each in one
// of the ways in which people write them.
#include <cmath>
#include <limits>
#include <optional>

#include "frontends/cpp/fovea.h"
#include "frontends/tools/fuzz/attention_layout.h"
#include "frontends/tools/fuzz/attention_masks.h"
#include "frontends/tools/fuzz/cases.h"
#include "frontends/tools/fuzz/mutate.h"
#include "graph/build/builder.h"

namespace fovea::tools {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

Tensor top(const Tensor& s) { return max(s, {-1}, true); }
Tensor total(const Tensor& e) { return sum(e, {-1}, true); }

class AttentionMaker {
 public:
  AttentionMaker(Random& random, FuzzCase& fuzz)
      : r_(random), builder_(Builder::make(fuzz.module, "main")), arguments_(random, fuzz, *builder_) {
    TraceScope trace(builder_);
    layout_.emplace(random, arguments_);
    masks_.emplace(random, arguments_, *layout_);
    attend();
    builder_->finish();
  }

  int64_t keys() const { return layout_->most_keys; }

 private:
  Tensor fit(const Tensor& x) const { return layout_->fit(x); }
  Tensor real(bool batch, bool head, bool query, bool key) {
    return fit(arguments_.real(layout_->over(batch, head, query, key)));
  }

  // --- scores

  Tensor scores() {
    Tensor q = layout_->q, k = layout_->k;
    const double c = std::sqrt(static_cast<double>(r_.between(1, 4))), tau = r_.of({0.125, 0.5, 1 / c});
    const int64_t where_scaled = r_.below(15);
    switch (where_scaled) {
      case 0:
        q = q * tau;
        break;
      case 1:
        q = q / c;
        break;
      case 2:
        k = k * tau;
        break;
      case 3:
        q = q * std::sqrt(tau), k = k * std::sqrt(tau);
        break;
      case 4:
        k = k / c;
        break;
      case 12:
        q = q / std::sqrt(c), k = k / std::sqrt(c);
        break;
      case 13:
        q = q * c, k = k * (1 / (c * c));
        break;
      default:
        break;
    }
    Tensor s = layout_->multiply(q, k);
    switch (where_scaled) {
      case 5:
        return s / c;
      case 6:
        return s * tau;
      case 7:
        return s * tau / 2.0;
      case 8:
        return s * real(false, true, false, false);
      case 9:  // a learned logarithm, kept below a limit
        return s * exp(minimum(real(false, true, false, false), 1.0));
      case 10:
        return s * rsqrt(full({}, c * c, s.dtype()));
      case 11:
        return s / full(r_.one_in(2) ? Shape{} : Shape{1, 1}, c, s.dtype());
      default:
        return s;
    }
  }

  Tensor biased(const Tensor& s) {
    switch (r_.below(17)) {
      case 0:
        return s + real(false, true, true, true);
      case 1:
        return real(true, false, false, true) + s;
      case 2:  // ALiBi from positions
        return s + real(false, true, false, false) *
                       fit(cast(masks_->key_places() - masks_->query_places(), s.dtype()));
      case 3:
        return 5.0 * tanh(s / 5.0);
      case 4:
        return s + real(false, true, true, true) + real(true, false, false, true);
      case 5: {  // buckets of distances
        const Tensor table = arguments_.real({6, layout_->heads});
        const Tensor bucket = clip(masks_->key_places() - masks_->query_places(), -3, 2) + 3;
        const Tensor bias = embedding(table, bucket.reshape({layout_->queries, layout_->keys}));
        return s + fit(unsqueeze(bias.permute({2, 0, 1}), 0));
      }
      case 6:  // a second product of its own
        return s + layout_->multiply(layout_->another(layout_->q), layout_->another(layout_->k));
      case 7: {  // the same queries against other keys, and a term a query
        const Tensor other = layout_->multiply(layout_->q, layout_->another(layout_->k));
        return (s + other * 0.5) / 2.0 + real(true, true, true, false);
      }
      case 8:
        return r_.one_in(2) ? leaky_relu(s, 0.2) : s * sigmoid(s);
      case 9:
        return s * real(true, true, true, true) + real(false, true, true, true);
      case 10:  // constants that cancel, or nearly
        return r_.one_in(2) ? s + 2.0 : (s - 1.5) * 2.0;
      case 11: {  // slopes that the graph holds
        const Tensor slopes = fit(arguments_.constant(heads_numbers()));
        return s - slopes * fit(cast(abs(masks_->query_places() - masks_->key_places()), s.dtype()));
      }
      default:
        return s;
    }
  }
  Array heads_numbers() {
    Array a(arguments_.type, {1, layout_->heads, 1, 1});
    for (int64_t h = 0; h < a.size(); ++h) a.set_flat(h, std::exp2(-static_cast<double>(h + 1)));
    return a;
  }
  // --- softmax

  // The softmax in a wider type, or along another axis of what was turned.
  Tensor weights(const Tensor& s) {
    if (r_.one_in(12)) return cast(normalised(cast(s, DType::f64)), s.dtype());
    if (s.dtype() != DType::f32 && !r_.one_in(3)) return cast(normalised(cast(s, DType::f32)), s.dtype());
    if (r_.one_in(12)) return softmax(s.transpose(-1, -2), -2).transpose(-1, -2);
    return normalised(s);
  }
  Tensor normalised(const Tensor& s) {
    // Without a maximum exp is 0 for what is masked either way.
    const bool low = masks_->mask.defined() && masks_->fill < -1e5;
    switch (r_.below(13)) {
      case 0: {
        const Tensor e = exp(s - top(s));
        return e / total(e);
      }
      case 1: {
        if (low) return softmax(s, -1);
        const Tensor e = exp(s);
        return e / total(e);
      }
      case 2: {
        const Tensor e = exp(s);
        return e / (1.0 + total(e));
      }
      case 3: {
        const Tensor e = exp(s - stop_gradient(top(s)));
        return e * reciprocal(total(e));
      }
      case 4:
        return exp(log_softmax(s, -1));
      case 5:
        return low ? softmax(s, -1) : exp(s - logsumexp(s, {-1}, true));
      case 6: {  // a learned sink
        const Tensor e = exp(s);
        return e / (total(e) + exp(cast(real(false, true, false, false), s.dtype())));
      }
      case 7: {  // the sink is one more column
        Shape column = s.shape();
        column.back() = 1;
        const Tensor sink = broadcast_to(cast(real(false, true, false, false), s.dtype()), column);
        return slice(softmax(concat({s, sink}, -1), -1), -1, 0, layout_->keys);
      }
      case 8: {
        const Tensor e = pow(2.0, (s - top(s)) * 1.4426950408889634);
        return e / total(e);
      }
      case 9: {  // guards against division by nothing
        const Tensor e = exp(s - top(s)), d = total(e);
        const int64_t how = r_.below(3);
        return e / (how == 0   ? d + (s.dtype() == DType::f64 ? 1e-20 : 1e-12)
                    : how == 1 ? clip(d, 1e-9, kInf)
                               : where(equal(d, 0.0), 1.0, d));
      }
      default:
        return softmax(s, -1);
    }
  }

  // --- what becomes of the probabilities

  Tensor dropped(const Tensor& p) {
    switch (r_.below(4)) {
      case 0:
        return p * cast(bernoulli(arguments_.key(), p.shape(), 0.5), p.dtype()) * 2.0;
      case 1:
        return where(bernoulli(arguments_.key(), p.shape(), 0.25), 0.0, p / 0.75);
      default:
        return dropout(p, arguments_.key(), 0.5);
    }
  }
  Tensor guarded(const Tensor& p) {
    switch (r_.below(4)) {
      case 0:
        return where(equal(p, p), p, 0.0);
      case 1:
        return where(is_finite(p), p, 0.0);
      default:
        return where(is_nan(p), 0.0, p);
    }
  }
  Tensor weighted(Tensor p) {
    if (r_.one_in(6)) p = guarded(p);
    if (masks_->mask.defined() && r_.one_in(6)) p = where(masks_->mask, p, 0.0);
    if (r_.one_in(6)) p = dropped(p);
    switch (r_.below(12)) {
      case 0:
        return p * real(false, true, true, true);
      case 1:
        return p * cast(masks_->another(), p.dtype());
      case 2:
        return p * sigmoid(real(true, true, true, false));
      default:
        return p;
    }
  }
  // Weights and scores that are read elsewhere, too.
  void escape(const Tensor& s, const Tensor& p) {
    switch (r_.below(16)) {
      case 0:
      case 1:
        builder_->output("weights", p);
        return;
      case 2:
        builder_->output("scores", where(s > -100.0, s, 0.0));
        return;
      case 3:
        builder_->output("attended", mean(p, {-2}));
        return;
      case 4:
        builder_->output("normaliser", logsumexp(tanh(s), {-1}));
        return;
      case 5:
        builder_->output("keys", layout_->k * 1.0);
        builder_->output("values", layout_->v * 1.0);
        return;
      default:
        return;
    }
  }

  void attend() {
    const Tensor s = masks_->masked(biased(scores()));
    Tensor y;
    if (r_.one_in(8)) {  // the denominator last
      const Tensor e = exp(s - top(s));
      y = layout_->weigh(e, layout_->v) / layout_->beside_values(total(e));
    } else {
      Tensor p = weights(s);
      if (r_.one_in(12)) {  // differential
        const Tensor other = layout_->multiply(layout_->another(layout_->q), layout_->another(layout_->k));
        p = p - softmax(other, -1) * 0.3;
      } else {
        p = weighted(p);
      }
      escape(s, p);
      y = layout_->weigh(p, layout_->v);
      // The same probabilities weigh other values too.
      if (r_.one_in(8)) builder_->output("other", layout_->weigh(p, layout_->another(layout_->v)));
    }
    y = layout_->merged(y);
    if (r_.one_in(8)) y = y.transpose(-1, -2);
    builder_->output("y", r_.one_in(3) ? y * 2.0 : y);
  }

  Random& r_;
  std::shared_ptr<Builder> builder_;
  Arguments arguments_;
  std::optional<AttentionLayout> layout_;
  std::optional<AttentionMasks> masks_;
};

}  // namespace

FuzzCase random_attention(Random& random, bool preserved) {
  FuzzCase fuzz;
  fuzz.module = std::make_shared<Module>();
  fuzz.exact = false;
  // A softmax over one key is the number 1 in many spellings; whether it is fused is of no account.
  fuzz.attention = AttentionMaker(random, fuzz).keys() > 1 && preserved;
  mutate(*fuzz.module, "main", random, preserved);
  if (random.one_in(3)) add_gradients(fuzz, random);
  return fuzz;
}

}  // namespace fovea::tools
