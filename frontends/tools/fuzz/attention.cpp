// Random spellings of attention: a layout, a scale, a bias, masks, a softmax and what follows it, each in one
// of the ways in which people write them.
#include <cmath>
#include <limits>

#include "frontends/cpp/fovea.h"
#include "frontends/tools/fuzz/cases.h"
#include "frontends/tools/fuzz/mutate.h"
#include "graph/build/builder.h"

namespace fovea::tools {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

class AttentionMaker {
 public:
  AttentionMaker(Random& random, FuzzCase& fuzz) : r_(random), fuzz_(fuzz) {
    builder_ = Builder::make(fuzz.module, "main");
    TraceScope trace(builder_);
    batch_ = r_.between(1, 2);
    heads_ = r_.of({1, 2, 2, 4});
    queries_ = r_.between(1, 4);
    keys_ = r_.one_in(3) ? queries_ : r_.between(1, 5);
    channels_ = r_.between(1, 4);
    value_channels_ = r_.one_in(3) ? channels_ : r_.between(1, 4);
    project();
    attend();
    builder_->finish();
  }

  int64_t keys() const { return keys_; }

 private:
  // --- arguments

  Tensor argument(const Dims& shape) {
    fuzz_.arguments.push_back(random_array(r_, DType::f32, shape, false));
    return builder_->input("", {DType::f32, to_shape(shape)});
  }
  Tensor keep_mask(const Dims& shape) {  // mostly true
    Array a(DType::boolean, shape);
    for (int64_t i = 0; i < a.size(); ++i) a.set_flat(i, r_.one_in(4) ? 0 : 1);
    fuzz_.arguments.push_back(a);
    return builder_->input("", {DType::boolean, to_shape(shape)});
  }
  Tensor integers(const Dims& shape, int64_t low, int64_t high) {
    Array a(DType::i64, shape);
    for (int64_t i = 0; i < a.size(); ++i) a.set_flat(i, static_cast<double>(r_.between(low, high)));
    fuzz_.arguments.push_back(a);
    return builder_->input("", {DType::i64, to_shape(shape)});
  }

  // --- layouts: q_, k_, v_, and how they are multiplied

  enum class Product { matmul, einsum, transposed };

  void project() {
    switch (r_.below(12)) {
      case 0:
        return folded_batch();
      case 1:
        return one_head();
      case 2:
        return one_sequence();
      case 3:
        return transposed_keys();
      case 4:
        return packed();
      case 5:
        return multi_query_rows();
      case 6:
        return grouped(true);
      case 7:
        return grouped(false);
      case 8:
        return cached();
      case 9:
        product_ = r_.one_in(2) ? Product::einsum : Product::transposed;
        return by_heads();
      case 10:
        return by_heads();
      default:
        q_ = argument({batch_, heads_, queries_, channels_});
        k_ = argument({batch_, heads_, keys_, channels_});
        v_ = argument({batch_, heads_, keys_, value_channels_});
    }
  }

  // (B, L, H*D) viewed and transposed
  Tensor split_heads(const Tensor& x, int64_t length, int64_t channels) {
    return x.reshape({batch_, length, heads_, channels}).transpose(1, 2);
  }
  void by_heads() {
    q_ = split_heads(argument({batch_, queries_, heads_ * channels_}), queries_, channels_);
    k_ = split_heads(argument({batch_, keys_, heads_ * channels_}), keys_, channels_);
    v_ = split_heads(argument({batch_, keys_, heads_ * value_channels_}), keys_, value_channels_);
    merge_ = true;
  }
  // (B*H, L, D); masks have four axes
  void folded_batch() {
    by_heads();
    const auto fold = [&](const Tensor& x, int64_t length, int64_t channels) {
      return x.reshape({batch_ * heads_, length, channels});
    };
    q_ = fold(q_, queries_, channels_);
    k_ = fold(k_, keys_, channels_);
    v_ = fold(v_, keys_, value_channels_);
    merge_ = false;
    shape_ = Shape{batch_ * heads_, queries_, keys_};
  }
  void one_head() {
    heads_ = 1;
    q_ = argument({batch_, queries_, channels_});
    k_ = argument({batch_, keys_, channels_});
    v_ = argument({batch_, keys_, value_channels_});
    shape_ = Shape{batch_, queries_, keys_};
  }
  void one_sequence() {
    heads_ = batch_ = 1;
    q_ = argument({queries_, channels_});
    k_ = argument({keys_, channels_});
    v_ = argument({keys_, value_channels_});
    shape_ = Shape{queries_, keys_};
  }
  void transposed_keys() {
    q_ = argument({batch_, heads_, queries_, channels_});
    k_ = argument({batch_, heads_, channels_, keys_}).transpose(-1, -2);
    v_ = argument({batch_, heads_, keys_, value_channels_});
  }
  void packed() {
    keys_ = queries_;
    value_channels_ = channels_;
    const int64_t width = heads_ * channels_;
    const Tensor x = argument({batch_, queries_, 3 * width});
    std::vector<Tensor> parts;
    switch (r_.below(4)) {
      case 0:
        parts = split(x, {width, width, width}, -1);
        break;
      case 1:
        parts = chunk(x, 3, -1);
        break;
      case 2:
        for (int64_t i = 0; i < 3; ++i) parts.push_back(slice(x, -1, i * width, (i + 1) * width));
        break;
      default:
        parts = unbind(x.reshape({batch_, queries_, 3, heads_, channels_}).permute({2, 0, 3, 1, 4}), 0);
    }
    for (Tensor& p : parts)
      if (p.rank() == 3) p = split_heads(p, queries_, channels_);
    q_ = parts[0], k_ = parts[1], v_ = parts[2];
    merge_ = true;
  }
  // multi-query: all heads' queries as rows of one matrix
  void multi_query_rows() {
    q_ = argument({batch_, heads_ * queries_, channels_});
    k_ = argument({batch_, keys_, channels_});
    v_ = argument({batch_, keys_, value_channels_});
    shape_ = Shape{batch_, heads_ * queries_, keys_};
  }
  // grouped queries: keys repeated by expand and reshape, or a fifth axis that broadcasts
  void grouped(bool repeated) {
    const int64_t group = heads_ % 2 == 0 ? 2 : 1, count = heads_ / group;
    q_ = argument({batch_, heads_, queries_, channels_});
    k_ = argument({batch_, count, keys_, channels_});
    v_ = argument({batch_, count, keys_, value_channels_});
    const auto widen = [&](const Tensor& x, int64_t channels) {
      const Tensor five = x.reshape({batch_, count, 1, keys_, channels});
      if (!repeated) return five;
      return broadcast_to(five, {batch_, count, group, keys_, channels})
          .reshape({batch_, heads_, keys_, channels});
    };
    k_ = widen(k_, channels_);
    v_ = widen(v_, value_channels_);
    if (repeated) return;
    q_ = q_.reshape({batch_, count, group, queries_, channels_});
    shape_ = Shape{batch_, count, group, queries_, keys_};
  }
  // decoding: keys and values are those of the past and new ones
  void cached() {
    keys_ += 1;
    const auto grown = [&](int64_t channels) {
      return concat(
          {argument({batch_, heads_, keys_ - 1, channels}), argument({batch_, heads_, 1, channels})}, 2);
    };
    q_ = argument({batch_, heads_, queries_, channels_});
    k_ = grown(channels_);
    v_ = grown(value_channels_);
  }

  // A tensor over [batch or 1, head or 1, query or 1, key or 1] as it broadcasts against the scores.
  Tensor fit(const Tensor& x) {
    if (shape_.empty()) return x;
    Shape given = x.shape();
    if (shape_.size() == 2) return x.reshape({given[2], given[3]});
    if (shape_.size() == 5) {
      const Dim count = given[1] == Dim(1) ? Dim(1) : shape_[1],
                group = given[1] == Dim(1) ? Dim(1) : shape_[2];
      return x.reshape({given[0], count, group, given[2], given[3]});
    }
    if (shape_[0] == Dim(batch_) && shape_[1] == Dim(queries_) && heads_ == 1)
      return x.reshape({given[0], given[2], given[3]});
    if (shape_[0] == Dim(batch_ * heads_) && shape_[1] == Dim(queries_)) {
      if (given[0] == Dim(1) && given[1] == Dim(1)) return x.reshape({1, given[2], given[3]});
      return broadcast_to(x, {batch_, heads_, given[2], given[3]})
          .reshape({batch_ * heads_, given[2], given[3]});
    }
    // heads as rows
    const Dim rows = given[1] == Dim(1) && given[2] == Dim(1) ? Dim(1) : Dim(heads_ * queries_);
    if (rows == Dim(1)) return x.reshape({given[0], 1, given[3]});
    return broadcast_to(x, {given[0], heads_, queries_, given[3]}).reshape({given[0], rows, given[3]});
  }
  // Size 1 or the whole, at random.
  Dims over(bool batch, bool head, bool query, bool key) {
    return {batch ? batch_ : 1, head ? heads_ : 1, query ? queries_ : 1, key ? keys_ : 1};
  }

  // --- scores

  Tensor scores() {
    Tensor q = q_, k = k_;
    const double c = std::sqrt(static_cast<double>(channels_)), tau = r_.of({0.125, 0.5, 1 / c});
    const int64_t where_scaled = r_.below(9);
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
      default:
        break;
    }
    Tensor s = multiply(q, k);
    switch (where_scaled) {
      case 4:
        return s / c;
      case 5:
        return s * tau;
      case 6:
        return s * tau / 2.0;
      case 7:
        return s * fit(argument({1, heads_, 1, 1}));
      default:
        return s;
    }
  }
  Tensor multiply(const Tensor& q, const Tensor& k) {
    if (product_ == Product::einsum) return einsum("bhqd,bhkd->bhqk", {q, k});
    if (product_ == Product::transposed) return matmul(k, q.transpose(-1, -2)).transpose(-1, -2);
    return matmul(q, k.transpose(-1, -2));
  }

  Tensor biased(Tensor s) {
    switch (r_.below(8)) {
      case 0:
        return s + fit(argument(over(false, true, true, true)));
      case 1:
        return fit(argument(over(true, false, false, true))) + s;
      case 2: {  // ALiBi from positions
        const Tensor distance = cast(key_places() - query_places(), DType::f32);
        return s + fit(argument({1, heads_, 1, 1})) * fit(distance);
      }
      case 3:
        return 5.0 * tanh(s / 5.0);
      case 4:
        return s + fit(argument(over(false, true, true, true))) +
               fit(argument(over(true, false, false, true)));
      default:
        return s;
    }
  }
  Tensor query_places() { return iota({queries_}).reshape({1, 1, queries_, 1}); }
  Tensor key_places() { return iota({keys_}).reshape({1, 1, 1, keys_}); }

  Tensor one_mask() {
    switch (r_.below(7)) {
      case 0:
        return query_places() >= key_places();
      case 1:
        return tril(full({queries_, keys_}, 1, DType::boolean)).reshape({1, 1, queries_, keys_});
      case 2:
        return keep_mask(over(true, false, false, true));
      case 3:
        return keep_mask(over(r_.one_in(2), false, true, true));
      case 4:
        return key_places() < integers({batch_, 1, 1, 1}, 1, keys_);
      case 5: {  // packed documents
        const Tensor rows = integers({batch_, 1, queries_, 1}, 0, 1),
                     columns = integers({batch_, 1, 1, keys_}, 0, 1);
        return equal(rows, columns);
      }
      default: {  // sliding window
        const Tensor distance = query_places() - key_places();
        return logical_and(distance<2, distance> - 2);
      }
    }
  }
  Tensor masked(Tensor s) {
    if (r_.one_in(3)) return s;
    Tensor keep = fit(one_mask());
    if (r_.one_in(3)) keep = logical_and(keep, fit(one_mask()));
    mask_ = keep;
    const double fill = r_.of({-kInf, -kInf, -1e9, -1e4, -1e30, -65504.0, -3.4028234663852886e38});
    fill_ = fill;
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

  // --- softmax and product

  Tensor weights(const Tensor& s) {
    switch (r_.below(7)) {
      case 0: {
        const Tensor e = exp(s - max(s, {-1}, true));
        return e / sum(e, {-1}, true);
      }
      case 1: {
        if (mask_.defined() && fill_ < -1e5) return softmax(s, -1);  // exp of it is 0 either way
        const Tensor e = exp(s);
        return e / sum(e, {-1}, true);
      }
      case 2: {
        const Tensor e = exp(s);
        return e / (1.0 + sum(e, {-1}, true));
      }
      case 3: {
        const Tensor e = exp(s - stop_gradient(max(s, {-1}, true)));
        return e * reciprocal(sum(e, {-1}, true));
      }
      default:
        return softmax(s, -1);
    }
  }

  void attend() {
    const Tensor s = masked(biased(scores()));
    Tensor y;
    if (r_.one_in(8)) {  // the denominator last
      const Tensor e = exp(s - max(s, {-1}, true));
      y = weigh(e) / sum(e, {-1}, true);
    } else {
      Tensor p = weights(s);
      if (r_.one_in(6)) p = where(is_nan(p), 0.0, p);
      if (mask_.defined() && r_.one_in(6)) p = where(mask_, p, 0.0);
      if (r_.one_in(6)) {
        const Tensor key = builder_->constant(Array::of(std::vector<int64_t>{r_.below(99), 3}, {2}));
        p = dropout(p, key, 0.5);
      } else if (r_.one_in(8)) {
        builder_->output("weights", p);
      }
      y = weigh(p);
      // The same probabilities weigh other values too.
      if (r_.one_in(8)) {
        v_ = argument(evaluate(v_.shape(), {}));
        builder_->output("other", weigh(p));
      }
    }
    if (merge_) y = y.transpose(1, 2).reshape({batch_, queries_, heads_ * value_channels_});
    builder_->output("y", r_.one_in(3) ? y * 2.0 : y);
  }
  Tensor weigh(const Tensor& p) {
    if (product_ == Product::einsum) return einsum("bhqk,bhkd->bhqd", {p, v_});
    if (product_ == Product::transposed)
      return matmul(v_.transpose(-1, -2), p.transpose(-1, -2)).transpose(-1, -2);
    return matmul(p, v_);
  }

  Random& r_;
  FuzzCase& fuzz_;
  std::shared_ptr<Builder> builder_;
  int64_t batch_ = 1, heads_ = 1, queries_ = 1, keys_ = 1, channels_ = 1, value_channels_ = 1;
  Tensor q_, k_, v_, mask_;
  double fill_ = 0;
  Shape shape_;         // of the scores; empty: [batch, head, query, key]
  bool merge_ = false;  // heads are merged into channels at the end
  Product product_ = Product::matmul;
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
