// Rows of attention scores: the running softmax and its gradient. Compiled once for each instruction set.
#if defined(FOVEA_OPS_SHARED_SIMD_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_OPS_SHARED_SIMD_ATTENTION_INL_H_
#undef FOVEA_OPS_SHARED_SIMD_ATTENTION_INL_H_
#else
#define FOVEA_OPS_SHARED_SIMD_ATTENTION_INL_H_
#endif

#include <limits>

#include "ops/shared/simd/attention_tile-inl.h"
#include "ops/shared/simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {

// e^x where x is seldom positive: the range above is left to the last multiplication on AVX-512, elsewhere to
// exp(), whose bits this gives.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp_of_score(D d, V x) {
  if constexpr (kIsFloat<D>) {
#if HWY_TARGET == HWY_AVX3
    x = hn::Max(hn::Set(d, -104.0f), x);  // a NaN in x passes
    const V magic = hn::Set(d, 12582912.0f);
    const V n = hn::Sub(hn::MulAdd(x, hn::Set(d, 1.44269504f), magic), magic);
    V r = hn::NegMulAdd(n, hn::Set(d, 0.693145751953125f), x);
    r = hn::NegMulAdd(n, hn::Set(d, 1.42860677e-6f), r);
    // 1 + r + r^2 q(r) with the polynomial of exp() in math-inl.h
    const V p = polynomial(d, r,
                           {1.0f, 1.0f, 0.5000000098932138772f, 0.1666651880127453423f,
                            0.04166619319041462893f, 0.008368913002304386558f, 0.001395129954146243713f});
    return scale_by_pow2(d, p, n);
#else
    if (HWY_LIKELY(hn::AllTrue(d, hn::Le(x, hn::Set(d, 64.0f))))) {  // no NaN either
      // n + 32 goes into the exponent, which keeps it normal; the product with 2^-32 rounds once. Below the
      // range the lanes hold anything and are cleared: a product that underflows takes many cycles.
      const hn::RebindToUnsigned<D> du;
      const auto parts = exp_parts<D, 32>(d, x);
      const auto p = hn::BitCast(du, hn::Add(parts.expm1_r, hn::Set(d, 1.0f)));
      const auto scaled = hn::BitCast(d, hn::Add(p, hn::ShiftLeft<23>(hn::BitCast(du, parts.shifted))));
      const auto counts = hn::Ge(x, hn::Set(d, -104.0f));
      return hn::Mul(hn::IfThenElseZero(counts, scaled), hn::Set(d, 2.3283064365386963e-10f));
    }
#endif
  }
  return exp(d, x);
}

enum class Bias { none, vector, number, line };

// The scores of one row, scaled and biased, less a shift, vector by vector; lanes outside of [begin, end) are
// -inf.
template <class D, Bias kBias>
struct ScoreRow {
  using T = hn::TFromD<D>;
  const T* s;
  const T* bias;
  T scale, shift;
  T slope, first, key;  // of a line
  int64_t begin, end;

  // The line's values from those of the ramp.
  HWY_INLINE hn::Vec<D> on_line(D d, hn::Vec<D> ramp) const {
    const auto distance = hn::MulAdd(ramp, hn::Set(d, key), hn::Set(d, first));
    return hn::Mul(distance, hn::Set(d, slope));
  }
  HWY_INLINE hn::Vec<D> finish(D d, hn::Vec<D> x, hn::Vec<D> b) const {
    const auto scales = hn::Set(d, scale), shifts = hn::Set(d, shift);
    if constexpr (kBias == Bias::none) return hn::MulSub(x, scales, shifts);
    return hn::Sub(hn::MulAdd(x, scales, b), shifts);
  }
  // The vector that starts at key i and lies in the range.
  HWY_INLINE hn::Vec<D> whole(D d, int64_t i) const {
    auto b = hn::Zero(d);
    if constexpr (kBias == Bias::vector) b = hn::LoadU(d, bias + i);
    if constexpr (kBias == Bias::number) b = hn::Set(d, *bias);
    if constexpr (kBias == Bias::line) b = on_line(d, hn::LoadU(d, bias + i));
    return finish(d, hn::LoadU(d, s + i), b);
  }
  // The vector that starts at key i and holds only some keys of the range.
  HWY_INLINE hn::Vec<D> part(D d, int64_t i) const {
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    auto b = hn::Zero(d);
    if constexpr (kBias == Bias::vector || kBias == Bias::line)
      b = end - i >= lanes ? hn::LoadU(d, bias + i) : load_tail(d, bias + i, static_cast<size_t>(end - i));
    if constexpr (kBias == Bias::number) b = hn::Set(d, *bias);
    if constexpr (kBias == Bias::line) b = on_line(d, b);
    const auto at = iota(d);
    const auto inside = hn::And(hn::Ge(at, hn::Set(d, static_cast<T>(begin - i))),
                                hn::Lt(at, hn::Set(d, static_cast<T>(end - i))));
    return hn::IfThenElse(inside, finish(d, hn::LoadU(d, s + i), b),
                          hn::Set(d, -std::numeric_limits<T>::infinity()));
  }
  // Calls f(i, vector) for each vector that overlaps the range.
  template <class F>
  HWY_INLINE void each(D d, F f) const {
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    int64_t i = begin / lanes * lanes;
    if (i < begin && i < end) f(i, part(d, i)), i += lanes;
    for (; i + lanes <= end; i += lanes) f(i, whole(d, i));
    if (i < end) f(i, part(d, i));
  }
  // The largest score.
  HWY_INLINE T top(D d) const {
    const auto low = hn::Set(d, -std::numeric_limits<T>::infinity());
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    auto a = low, b = low;
    int64_t i = begin / lanes * lanes;
    if (i < begin && i < end) a = part(d, i), i += lanes;
    for (; i + 2 * lanes <= end; i += 2 * lanes)
      a = hn::Max(a, whole(d, i)), b = hn::Max(b, whole(d, i + lanes));
    if (i + lanes <= end) a = hn::Max(a, whole(d, i)), i += lanes;
    if (i < end) b = hn::Max(b, part(d, i));
    return max_lanes(d, hn::Max(a, b));
  }
};

// Zeros in [from, to) of a row.
template <class T>
HWY_INLINE void clear(T* row, int64_t from, int64_t to) {
  if (from < to) std::fill(row + from, row + to, T(0));
}

template <Bias kBias, class T>
HWY_INLINE ScoreRow<hn::ScalableTag<T>, kBias> score_row(KeyRanges ranges, int64_t r, int64_t keys, T scale,
                                                         const ScoreBias<T>& bias, const T* s) {
  ScoreRow<hn::ScalableTag<T>, kBias> x;
  x.s = s;
  x.scale = scale;
  x.shift = 0;
  x.bias = bias.data == nullptr ? nullptr : bias.data + r * bias.row;
  x.slope = bias.slope;
  x.first = bias.first + static_cast<T>(r) * bias.query;
  x.key = bias.key;
  x.begin = ranges.begin == nullptr ? 0 : ranges.begin[r];
  x.end = ranges.begin == nullptr ? keys : ranges.end[r];
  if (x.begin >= x.end) x.begin = x.end = 0;
  return x;
}

inline constexpr int64_t kGroup = 4 * kStrip;  // rows whose maxima are found before their exponentials

// From the maxima of new keys: top, what to subtract from scores, what to multiply earlier sums by.
template <class T>
HWY_INLINE void update_tops(int64_t rows, const T* found, T* top, T* shift, T* correction) {
  const hn::ScalableTag<T> d;
  const auto low = hn::Set(d, -std::numeric_limits<T>::infinity());
  for_each_vector(d, static_cast<size_t>(rows), [&](size_t i, auto m) HWY_ATTR {
    const auto before = load_n(d, top + i, m), now = hn::Max(before, load_n(d, found + i, m));
    const auto shifts = hn::IfThenZeroElse(hn::Eq(now, low), now);
    store_n(now, d, top + i, m);
    store_n(shifts, d, shift + i, m);
    store_n(exp_of_score(d, hn::Sub(before, shifts)), d, correction + i, m);
  });
}

template <Bias kBias, class T>
void softmax_rows(KeyRanges ranges, int64_t rows, int64_t keys, T scale, const ScoreBias<T>& bias,
                  const Rows<const T>& factor, const Rows<T>& s, const RunningRows<T>& state) {
  const hn::ScalableTag<T> d;
  for (int64_t group = 0; group < rows; group += kGroup) {
    const int64_t count = std::min<int64_t>(kGroup, rows - group);
    T found[kGroup], shift[kGroup];
    for (int64_t r = 0; r < count; ++r)
      found[r] = score_row<kBias>(ranges, group + r, keys, scale, bias, s.data + (group + r) * s.row).top(d);
    update_tops(count, found, state.top + group, shift, state.correction + group);
    for (int64_t r = group; r < group + count; ++r) {
      T* row = s.data + r * s.row;
      auto x = score_row<kBias>(ranges, r, keys, scale, bias, row);
      x.shift = shift[r - group];
      const T* factors = factor.data == nullptr ? nullptr : factor.data + r * factor.row;
      auto sum = hn::Zero(d);
      if (factors == nullptr) {
        x.each(d, [&](int64_t i, auto v) HWY_ATTR {
          const auto p = exp_of_score(d, v);
          sum = hn::Add(sum, p);
          hn::StoreU(p, d, row + i);
        });
      } else {
        x.each(d, [&](int64_t i, auto v) HWY_ATTR {
          const auto p = exp_of_score(d, v);
          sum = hn::Add(sum, p);
          // A factor of 0 selects 0, whatever p is.
          const auto f = hn::LoadU(d, factors + i);
          const auto absent = hn::Or(hn::Eq(p, hn::Zero(d)), hn::Eq(f, hn::Zero(d)));
          hn::StoreU(hn::IfThenZeroElse(absent, hn::Mul(p, f)), d, row + i);
        });
      }
      if (ranges.begin != nullptr) {
        const int64_t strip = r / kStrip * kStrip;
        const Span span = keys_of(ranges, strip, std::min<int64_t>(strip + kStrip, rows), keys);
        clear(row, span.begin, x.begin);
        clear(row, x.end, span.end);
      }
      state.total[r] =
          state.total[r] * static_cast<double>(state.correction[r]) + static_cast<double>(sum_lanes(d, sum));
    }
  }
}

template <class T>
void softmax(KeyRanges ranges, int64_t rows, int64_t keys, T scale, ScoreBias<T> bias, Rows<const T> factor,
             Rows<T> s, RunningRows<T> state) {
  if (bias.data == nullptr)
    return softmax_rows<Bias::none>(ranges, rows, keys, scale, bias, factor, s, state);
  if (bias.line) return softmax_rows<Bias::line>(ranges, rows, keys, scale, bias, factor, s, state);
  if (bias.column != 0) return softmax_rows<Bias::vector>(ranges, rows, keys, scale, bias, factor, s, state);
  return softmax_rows<Bias::number>(ranges, rows, keys, scale, bias, factor, s, state);
}

// One row's part in the gradient, from vector to vector.
template <class T>
struct GradientRow {
  T *p, *ds;                          // scores and dp become these
  const T* factor = nullptr;          // or null
  T* product = nullptr;               // p dp, or null
  T rest = 0, term = 0, certain = 0;  // of GradientRows
  T others = 0, scale = 1;
  bool nan_is_zero = false, centered = false;
};

// One vector of the gradient. kPlain: no factor, no guard, and nothing certain but 0.
template <bool kPlain, class D, class T = hn::TFromD<D>>
HWY_INLINE void gradient_vector(D d, hn::Vec<D> x, hn::Vec<D> rest, hn::Vec<D> term,
                                const GradientRow<T>& row, int64_t i) {
  const auto zero = hn::Zero(d);
  auto p = exp_of_score(d, hn::Sub(x, rest));
  auto dp = hn::LoadU(d, row.ds + i);
  if constexpr (kPlain) {
    const auto alone = hn::Ge(p, hn::Set(d, T(1)));
    const auto off = hn::Sub(dp, hn::IfThenElse(alone, dp, term));  // NaN stays
    hn::StoreU(p, d, row.p + i);
    const auto ds = hn::Mul(hn::Mul(p, off), hn::Set(d, row.scale));
    hn::StoreU(hn::IfThenZeroElse(hn::Eq(p, zero), ds), d, row.ds + i);
    return;
  }
  if (row.nan_is_zero) p = hn::IfThenZeroElse(is_nan(p), p);
  const auto absent = hn::Eq(p, zero);
  if (row.product != nullptr) hn::StoreU(hn::IfThenZeroElse(absent, hn::Mul(p, dp)), d, row.product + i);
  auto weighted = p;
  auto alone = hn::Ge(p, hn::Set(d, T(1)));
  if (row.factor != nullptr) {
    const auto f = hn::LoadU(d, row.factor + i);
    const auto none = hn::Eq(f, zero);
    weighted = hn::IfThenZeroElse(hn::Or(absent, none), hn::Mul(p, f));
    dp = hn::IfThenZeroElse(none, hn::Mul(dp, f));
    alone = hn::AndNot(none, alone);
  }
  const auto off = hn::Add(hn::Sub(dp, hn::IfThenElse(alone, dp, term)),
                           hn::IfThenElseZero(alone, hn::Set(d, row.certain)));
  hn::StoreU(weighted, d, row.p + i);
  const auto ds = hn::Mul(hn::Mul(p, off), hn::Set(d, row.scale));
  hn::StoreU(hn::IfThenZeroElse(absent, ds), d, row.ds + i);
}

// One row of which all keys are there: D comes of its own p and dp. Returns D.
template <bool kPlain, class D, class Row, class T = hn::TFromD<D>>
HWY_INLINE T gradient_of_whole_row(D d, const Row& x, const GradientRow<T>& row) {
  const auto zero = hn::Zero(d), rest = hn::Set(d, row.rest);
  auto sum = zero, sum_product = zero;
  x.each(d, [&](int64_t i, auto v) HWY_ATTR {
    auto p = exp_of_score(d, hn::Sub(v, rest));
    if (row.nan_is_zero) p = hn::IfThenZeroElse(is_nan(p), p);
    const auto absent = hn::Eq(p, zero);
    auto dp = hn::LoadU(d, row.ds + i);
    if constexpr (!kPlain) {
      if (row.product != nullptr) hn::StoreU(hn::IfThenZeroElse(absent, hn::Mul(p, dp)), d, row.product + i);
      if (row.factor != nullptr) {
        const auto f = hn::LoadU(d, row.factor + i);
        dp = hn::IfThenZeroElse(hn::Eq(f, zero), hn::Mul(dp, f));
        hn::StoreU(dp, d, row.ds + i);
      }
    }
    sum = hn::Add(sum, p);
    sum_product = hn::Add(sum_product, hn::IfThenZeroElse(absent, hn::Mul(p, dp)));
    hn::StoreU(p, d, row.p + i);
  });
  const double total = static_cast<double>(sum_lanes(d, sum)) + static_cast<double>(row.others);
  const T own = static_cast<T>(total == 0 ? 0 : static_cast<double>(sum_lanes(d, sum_product)) / total);
  const T term = own + row.term;
  const auto mean = hn::Set(d, term), scale = hn::Set(d, row.scale);
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t first = x.begin / lanes * lanes;
  for (int64_t i = first; i < x.end; i += lanes) {
    const auto p = hn::LoadU(d, row.p + i);
    const auto ds = hn::Mul(hn::Mul(p, hn::Sub(hn::LoadU(d, row.ds + i), mean)), scale);
    hn::StoreU(hn::IfThenZeroElse(hn::Eq(p, zero), ds), d, row.ds + i);
  }
  if (row.centered) {
    auto left = zero;
    for (int64_t i = first; i < x.end; i += lanes) left = hn::Add(left, hn::LoadU(d, row.ds + i));
    const double rounding = static_cast<double>(sum_lanes(d, left)) / total;
    const auto share = hn::Set(d, static_cast<T>(std::isfinite(rounding) ? rounding : 0));
    for (int64_t i = first; i < x.end; i += lanes)
      hn::StoreU(hn::NegMulAdd(hn::LoadU(d, row.p + i), share, hn::LoadU(d, row.ds + i)), d, row.ds + i);
  }
  if constexpr (!kPlain) {
    for (int64_t i = first; row.factor != nullptr && i < x.end; i += lanes) {
      const auto p = hn::LoadU(d, row.p + i), f = hn::LoadU(d, row.factor + i);
      const auto absent = hn::Or(hn::Eq(p, zero), hn::Eq(f, zero));
      hn::StoreU(hn::IfThenZeroElse(absent, hn::Mul(p, f)), d, row.p + i);
    }
  }
  return term;
}

template <Bias kBias, class T>
void gradient_rows(KeyRanges ranges, int64_t rows, int64_t keys, T scale, const ScoreBias<T>& bias,
                   const Rows<T>& s, const Rows<T>& dp, const GradientRows<T>& state) {
  const hn::ScalableTag<T> d;
  const bool factors = state.factor.data != nullptr || state.factor_gradient.data != nullptr;
  for (int64_t r = 0; r < rows; ++r) {
    GradientRow<T> g{s.data + r * s.row, dp.data + r * dp.row};
    auto x = score_row<kBias>(ranges, r, keys, scale, bias, g.p);
    x.shift = state.top[r];
    if (state.empty_is_zero && state.top[r] == -std::numeric_limits<T>::infinity()) x.begin = x.end = 0;
    if (state.factor.data != nullptr) g.factor = state.factor.data + r * state.factor.row;
    if (state.factor_gradient.data != nullptr)
      g.product = state.factor_gradient.data + r * state.factor_gradient.row;
    g.rest = state.rest[r];
    g.term = state.row_term[r];
    g.nan_is_zero = state.nan_is_zero;
    g.scale = state.scale;
    g.centered = state.centered;
    if (state.others != nullptr) g.others = state.others[r];
    g.certain = state.certain == nullptr ? T(0) : state.certain[r];
    const auto rest = hn::Set(d, g.rest), term = hn::Set(d, g.term);
    if (state.all_keys) {
      state.row_term[r] =
          factors ? gradient_of_whole_row<false>(d, x, g) : gradient_of_whole_row<true>(d, x, g);
    } else if (!factors && !state.nan_is_zero && g.certain == 0) {
      GradientRow<T> row{g.p, g.ds};
      row.scale = g.scale;
      x.each(d, [d, rest, term, row](int64_t i, auto v)
                    HWY_ATTR { gradient_vector<true>(d, v, rest, term, row, i); });
    } else {
      x.each(d, [&](int64_t i, auto v) HWY_ATTR { gradient_vector<false>(d, v, rest, term, g, i); });
    }
    for (T* zeroed : {g.p, g.ds, g.product})
      if (zeroed != nullptr) clear(zeroed, 0, x.begin), clear(zeroed, x.end, keys);
  }
}

template <class T>
void gradient(KeyRanges ranges, int64_t rows, int64_t keys, T scale, ScoreBias<T> bias, Rows<T> s, Rows<T> dp,
              const GradientRows<T>& state) {
  if (bias.data == nullptr) return gradient_rows<Bias::none>(ranges, rows, keys, scale, bias, s, dp, state);
  if (bias.line) return gradient_rows<Bias::line>(ranges, rows, keys, scale, bias, s, dp, state);
  if (bias.column != 0) return gradient_rows<Bias::vector>(ranges, rows, keys, scale, bias, s, dp, state);
  return gradient_rows<Bias::number>(ranges, rows, keys, scale, bias, s, dp, state);
}

template <class T>
HWY_INLINE T dot(const T* x, const T* y, int64_t n) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  auto a = hn::Zero(d), b = hn::Zero(d);
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    a = hn::MulAdd(hn::LoadU(d, x + i), hn::LoadU(d, y + i), a);
    b = hn::MulAdd(hn::LoadU(d, x + i + lanes), hn::LoadU(d, y + i + lanes), b);
  }
  if (i + lanes <= n) {
    a = hn::MulAdd(hn::LoadU(d, x + i), hn::LoadU(d, y + i), a);
    i += lanes;
  }
  if (i < n) {
    const auto rest = static_cast<size_t>(n - i);
    b = hn::MulAdd(load_tail(d, x + i, rest), load_tail(d, y + i, rest), b);
  }
  return sum_lanes(d, hn::Add(a, b));
}

template <class T>
void scores_of_rows(int64_t rows, int64_t keys, int64_t depth, Rows<const T> a, Rows<const T> k, Rows<T> s) {
  for (int64_t j = 0; j < keys; ++j)
    for (int64_t r = 0; r < rows; ++r)
      s.data[r * s.row + j] = dot(a.data + r * a.row, k.data + j * k.row, depth);
}

template <class T>
void scale(int64_t rows, int64_t columns, Rows<const T> x, T by, const T* row_by, bool add, Rows<T> to) {
  const hn::ScalableTag<T> d;
  for (int64_t r = 0; r < rows; ++r) {
    const auto factor = hn::Set(d, row_by == nullptr ? by : row_by[r]);
    const T* from = x.data + r * x.row;
    T* out = to.data + r * to.row;
    for_each_vector(d, static_cast<size_t>(columns), [&](size_t i, auto m) HWY_ATTR {
      auto v = hn::Mul(load_n(d, from + i, m), factor);
      if (add) v = hn::Add(v, load_n(d, out + i, m));
      store_n(v, d, out + i, m);
    });
  }
}

template <class T>
void choose(const int32_t* bits, int64_t n, int32_t threshold, T below, T above, T* to) {
  const hn::ScalableTag<T> d;
  const hn::Rebind<int32_t, decltype(d)> di;
  const auto limit = hn::Set(di, threshold);
  const auto yes = hn::Set(d, below), no = hn::Set(d, above);
  for_each_vector(d, static_cast<size_t>(n), [&](size_t i, auto m) HWY_ATTR {
    const auto under = hn::Lt(load_n(di, bits + i, m), limit);
    if constexpr (sizeof(T) == 4) {
      store_n(hn::IfThenElse(hn::RebindMask(d, under), yes, no), d, to + i, m);
    } else {
      const hn::RebindToSigned<decltype(d)> wide;
      const auto lanes = hn::PromoteTo(wide, hn::VecFromMask(di, under));
      store_n(hn::IfThenElse(hn::RebindMask(d, hn::MaskFromVec(lanes)), yes, no), d, to + i, m);
    }
  });
}

template <class T>
bool finite(int64_t rows, int64_t columns, Rows<const T> x) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto zero = hn::Zero(d);
  auto a = zero, b = zero, c = zero, e = zero;  // chains for the latency of one
  for (int64_t r = 0; r < rows; ++r) {
    const T* row = x.data + r * x.row;
    int64_t i = 0;
    for (; i + 4 * lanes <= columns; i += 4 * lanes) {
      a = hn::MulAdd(hn::LoadU(d, row + i), zero, a);
      b = hn::MulAdd(hn::LoadU(d, row + i + lanes), zero, b);
      c = hn::MulAdd(hn::LoadU(d, row + i + 2 * lanes), zero, c);
      e = hn::MulAdd(hn::LoadU(d, row + i + 3 * lanes), zero, e);
    }
    for (; i < columns; i += lanes) a = hn::MulAdd(hn::LoadU(d, row + i), zero, a);
  }
  a = hn::Add(a, c), b = hn::Add(b, e);
  return hn::AllTrue(d, hn::Eq(hn::Add(a, b), zero));
}

template <class T>
void log_sum(int64_t rows, const T* top, const double* total, T* lse, T* rest) {
  const hn::ScalableTag<double> d;
  constexpr size_t kMost = 64;
  constexpr double kLow = -std::numeric_limits<double>::infinity();
  double logs[kMost];
  for (int64_t at = 0; at < rows; at += kMost) {
    const size_t n = std::min(kMost, static_cast<size_t>(rows - at));
    for_each_vector(d, n, [&](size_t i, auto m) HWY_ATTR {
      const auto sum = load_n(d, total + at + i, m);
      const auto empty = hn::Eq(sum, hn::Zero(d));
      store_n(hn::IfThenElse(empty, hn::Set(d, kLow), log(d, sum)), d, logs + i, m);
    });
    for (size_t i = 0; i < n; ++i) {
      const T high = top[at + static_cast<int64_t>(i)];
      const T sum = static_cast<T>(static_cast<double>(high) + logs[i]);
      const double left = (static_cast<double>(high) - static_cast<double>(sum)) + logs[i];
      lse[at + static_cast<int64_t>(i)] = logs[i] == kLow ? static_cast<T>(kLow) : sum;
      rest[at + static_cast<int64_t>(i)] = left - left == 0 ? static_cast<T>(left) : T(0);
    }
  }
}

template <class T>
AttentionKernels<T> make_attention_kernels() {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  AttentionKernels<T> k;
  k.lanes = lanes;
  k.panel = lanes * kWide;
  k.strip = kStrip;
  k.pack = &pack<T>;
  k.scores = &scores<T>;
  k.scores_of_rows = &scores_of_rows<T>;
  k.softmax = &softmax<T>;
  k.values = &values<T>;
  k.transposed = &transposed<T>;
  k.row_dots = &row_dots<T>;
  k.dot = &dot<T>;
  k.gradient = &gradient<T>;
  k.scale = &scale<T>;
  k.choose = &choose<T>;
  k.finite = &finite<T>;
  k.log_sum = &log_sum<T>;
  return k;
}

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
