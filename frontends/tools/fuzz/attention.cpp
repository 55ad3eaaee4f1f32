// Random spellings of attention: a layout, a scale, a bias, masks, a softmax and what follows it, each in one
// of the ways in which people write them.
#include <cmath>
#include <limits>
#include <optional>

#include "frontends/cpp/fovea.h"
#include "frontends/tools/fuzz/attention_layout.h"
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
    const int64_t where_scaled = r_.below(12);
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
      default:
        return s;
    }
  }

  Tensor biased(const Tensor& s) {
    switch (r_.below(14)) {
      case 0:
        return s + real(false, true, true, true);
      case 1:
        return real(true, false, false, true) + s;
      case 2:  // ALiBi from positions
        return s + real(false, true, false, false) * fit(cast(key_places() - query_places(), DType::f32));
      case 3:
        return 5.0 * tanh(s / 5.0);
      case 4:
        return s + real(false, true, true, true) + real(true, false, false, true);
      case 5: {  // buckets of distances
        const Tensor table = arguments_.real({6, layout_->heads});
        const Tensor bucket = clip(key_places() - query_places(), -3, 2) + 3;
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
      default:
        return s;
    }
  }
  Tensor query_places() { return iota({layout_->queries}).reshape({1, 1, layout_->queries, 1}); }
  Tensor key_places() { return iota({layout_->keys}).reshape({1, 1, 1, layout_->keys}); }

  Tensor one_mask() {
    const Dim queries = layout_->queries, keys = layout_->keys, batch = layout_->batch;
    switch (r_.below(12)) {
      case 0:
        return query_places() >= key_places();
      case 1:
        return tril(full({queries, keys}, 1, DType::boolean)).reshape({1, 1, queries, keys});
      case 2:
        return arguments_.keep_mask(layout_->over(true, false, false, true));
      case 3:
        return arguments_.keep_mask(layout_->over(r_.one_in(2), false, true, true));
      case 4:
        return key_places() < arguments_.integers({batch, 1, 1, 1}, 1, layout_->most_keys);
      case 5: {  // packed documents
        const Tensor rows = arguments_.integers({batch, 1, queries, 1}, 0, 1),
                     columns = arguments_.integers({batch, 1, 1, keys}, 0, 1);
        return equal(rows, columns);
      }
      case 6: {  // a buffer that is larger
        const Tensor buffer = tril(full({1, 1, 8, 8}, 1, DType::boolean));
        return slice(slice(buffer, 2, 0, queries), 3, 0, keys);
      }
      case 7:  // a prefix that all see
        return logical_or(query_places() >= key_places(), key_places() < 2);
      case 8: {  // dilated, with a token that all see
        const Tensor distance = query_places() - key_places();
        return logical_or(equal(mod(distance, 2), 0), equal(key_places(), 0));
      }
      case 9: {  // a table of blocks of two keys
        const Tensor table = arguments_.keep_mask({1, layout_->heads, queries, 4});
        return gather(table, floor_div(iota({layout_->keys}), 2), 3);
      }
      default: {  // sliding window
        const Tensor distance = query_places() - key_places();
        return logical_and(distance<2, distance> - 2);
      }
    }
  }
  Tensor fill_in(const Tensor& s, const Tensor& keep, double fill) {
    switch (r_.below(5)) {
      case 0:
        return where(logical_not(keep), fill, s);
      case 1:
        return s + (1.0 - cast(keep, DType::f32)) * (std::isinf(fill) ? -1e4 : fill);
      case 2:
        return where(keep, 0.0, fill) + s;
      default:
        return where(keep, s, fill);
    }
  }
  Tensor masked(const Tensor& s) {
    if (r_.one_in(3)) return s;
    if (r_.one_in(8))
      return s + fit(arguments_.additive_mask(layout_->over(true, false, r_.one_in(2), true)));
    fill_ = r_.of({-kInf, -kInf, -1e9, -1e4, -1e30, -65504.0, -3.4028234663852886e38});
    mask_ = fit(one_mask());
    switch (r_.below(6)) {
      case 0:
        mask_ = logical_and(mask_, fit(one_mask()));
        break;
      case 1:  // one after the other
        return fill_in(fill_in(s, mask_, fill_), fit(one_mask()), fill_);
      case 2:  // before the scale
        return fill_in(s, mask_, fill_) * 0.5;
      default:
        break;
    }
    return fill_in(s, mask_, fill_);
  }

  // --- softmax

  Tensor weights(const Tensor& s) {
    // Without a maximum exp is 0 for what is masked either way.
    const bool low = mask_.defined() && fill_ < -1e5;
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
        return e / (total(e) + exp(real(false, true, false, false)));
      }
      case 7: {  // the sink is one more column
        Shape column = s.shape();
        column.back() = 1;
        const Tensor sink = broadcast_to(real(false, true, false, false), column);
        return slice(softmax(concat({s, sink}, -1), -1), -1, 0, layout_->keys);
      }
      case 8: {
        const Tensor e = pow(2.0, (s - top(s)) * 1.4426950408889634);
        return e / total(e);
      }
      case 9:
        return cast(softmax(cast(s, DType::f64), -1), DType::f32);
      default:
        return softmax(s, -1);
    }
  }

  // --- what becomes of the probabilities

  Tensor dropped(const Tensor& p) {
    switch (r_.below(4)) {
      case 0:
        return p * cast(bernoulli(arguments_.key(), p.shape(), 0.5), DType::f32) * 2.0;
      case 1:
        return where(bernoulli(arguments_.key(), p.shape(), 0.25), 0.0, p / 0.75);
      default:
        return dropout(p, arguments_.key(), 0.5);
    }
  }
  Tensor weighted(Tensor p) {
    if (r_.one_in(6)) p = where(is_nan(p), 0.0, p);
    if (mask_.defined() && r_.one_in(6)) p = where(mask_, p, 0.0);
    if (r_.one_in(6)) p = dropped(p);
    switch (r_.below(12)) {
      case 0:
        return p * real(false, true, true, true);
      case 1:
        return p * cast(fit(one_mask()), DType::f32);
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
    const Tensor s = masked(biased(scores()));
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
    builder_->output("y", r_.one_in(3) ? y * 2.0 : y);
  }

  Random& r_;
  std::shared_ptr<Builder> builder_;
  Arguments arguments_;
  std::optional<AttentionLayout> layout_;
  Tensor mask_;
  double fill_ = 0;
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
