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

// e^x where x is seldom positive: the range above is left to the last multiplication.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp_of_score(D d, V x) {
#if HWY_TARGET == HWY_AVX3
  x = hn::Max(constant(d, -104.0f, -746.0), x);
  const auto parts = exp_parts(d, x);
  return scale_by_pow2(d, hn::Add(parts.expm1_r, hn::Set(d, 1)), parts.n);
#else
  return exp(d, x);
#endif
}

template <class T>
HWY_INLINE T exp_of_one(T x) {
  const hn::ScalableTag<T> d;
  return hn::GetLane(exp_of_score(d, hn::Set(d, x)));
}

// The scaled and biased scores of one row, vector by vector; lanes outside of [begin, end) are -inf.
template <class D, class T = hn::TFromD<D>>
struct ScoreRow {
  const T* s;
  T scale;
  const T* bias;  // of this row, or null
  int64_t bias_column;
  int64_t begin, end;

  // The vector that starts at key i, which is a whole one.
  HWY_INLINE hn::Vec<D> whole(D d, int64_t i) const {
    const auto x = hn::Mul(hn::LoadU(d, s + i), hn::Set(d, scale));
    if (bias == nullptr) return x;
    return hn::Add(x, bias_column ? hn::LoadU(d, bias + i) : hn::Set(d, *bias));
  }
  // The vector that starts at key i and holds only some keys of the range.
  HWY_INLINE hn::Vec<D> part(D d, int64_t i) const {
    auto x = hn::Mul(hn::LoadU(d, s + i), hn::Set(d, scale));
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    if (bias != nullptr) {
      const auto count = static_cast<size_t>(std::min(lanes, end - i));
      x = hn::Add(x, !bias_column                          ? hn::Set(d, *bias)
                     : count == static_cast<size_t>(lanes) ? hn::LoadU(d, bias + i)
                                                           : load_tail(d, bias + i, count));
    }
    return hn::IfThenElse(inside(d, i), x, hn::Set(d, -std::numeric_limits<T>::infinity()));
  }
  HWY_INLINE hn::Mask<D> inside(D d, int64_t i) const {
    const auto at = hn::Iota(d, 0);
    return hn::And(hn::Ge(at, hn::Set(d, static_cast<T>(begin - i))),
                   hn::Lt(at, hn::Set(d, static_cast<T>(end - i))));
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
};

// Zeros in [from, to) of a row.
template <class T>
HWY_INLINE void clear(T* row, int64_t from, int64_t to) {
  if (from < to) std::fill(row + from, row + to, T(0));
}

template <class T>
HWY_INLINE ScoreRow<hn::ScalableTag<T>> score_row(KeyRanges ranges, int64_t r, int64_t keys, T scale,
                                                  const ScoreBias<T>& bias, const T* s) {
  ScoreRow<hn::ScalableTag<T>> x;
  x.s = s;
  x.scale = scale;
  x.bias = bias.data == nullptr ? nullptr : bias.data + r * bias.row;
  x.bias_column = bias.column;
  x.begin = ranges.begin == nullptr ? 0 : ranges.begin[r];
  x.end = ranges.begin == nullptr ? keys : ranges.end[r];
  if (x.begin >= x.end) x.begin = x.end = 0;
  return x;
}

template <class T>
void softmax(KeyRanges ranges, int64_t rows, int64_t keys, T scale, ScoreBias<T> bias, Rows<const T> factor,
             Rows<T> s, RunningRows<T> state) {
  const hn::ScalableTag<T> d;
  constexpr T kLow = -std::numeric_limits<T>::infinity();
  for (int64_t strip = 0; strip < rows; strip += kStrip) {
    const int64_t last = std::min<int64_t>(strip + kStrip, rows);
    const Span span = keys_of(ranges, strip, last, keys);
    for (int64_t r = strip; r < last; ++r) {
      T* row = s.data + r * s.row;
      const auto x = score_row(ranges, r, keys, scale, bias, row);
      auto top_lanes = hn::Set(d, kLow);
      x.each(d, [&](int64_t, auto v) HWY_ATTR { top_lanes = hn::Max(top_lanes, v); });
      const T before = state.top[r];
      const T top = std::max(max_lanes(d, top_lanes), before), shift = top == kLow ? T(0) : top;
      const T correction = before == top && top != kLow ? T(1) : exp_of_one(before - shift);
      const auto shifts = hn::Set(d, shift);
      const T* factors = factor.data == nullptr ? nullptr : factor.data + r * factor.row;
      auto sum = hn::Zero(d);
      x.each(d, [&](int64_t i, auto v) HWY_ATTR {
        const auto p = exp_of_score(d, hn::Sub(v, shifts));
        sum = hn::Add(sum, p);
        if (factors == nullptr)
          hn::StoreU(p, d, row + i);
        else
          hn::StoreU(hn::IfThenZeroElse(hn::Eq(p, hn::Zero(d)), hn::Mul(p, hn::LoadU(d, factors + i))), d,
                     row + i);
      });
      clear(row, span.begin, x.begin);
      clear(row, x.end, span.end);
      state.top[r] = top;
      state.correction[r] = correction;
      state.total[r] = state.total[r] * correction + static_cast<double>(sum_lanes(d, sum));
    }
  }
}

template <class T>
void gradient(KeyRanges ranges, int64_t rows, int64_t keys, T scale, ScoreBias<T> bias, Rows<T> s, Rows<T> dp,
              const GradientRows<T>& state) {
  const hn::ScalableTag<T> d;
  for (int64_t r = 0; r < rows; ++r) {
    T *row = s.data + r * s.row, *d_row = dp.data + r * dp.row;
    auto x = score_row(ranges, r, keys, scale, bias, row);
    if (state.empty_is_zero && state.top[r] == -std::numeric_limits<T>::infinity()) x.begin = x.end = 0;
    const auto top = hn::Set(d, state.top[r]), rest = hn::Set(d, state.rest[r]),
               term = hn::Set(d, state.row_term[r]);
    const T* factor = state.factor.data == nullptr ? nullptr : state.factor.data + r * state.factor.row;
    T* product = state.factor_gradient.data == nullptr
                     ? nullptr
                     : state.factor_gradient.data + r * state.factor_gradient.row;
    x.each(d, [&](int64_t i, auto v) HWY_ATTR {
      auto p = exp_of_score(d, hn::Sub(hn::Sub(v, top), rest));
      if (state.nan_is_zero) p = hn::IfThenZeroElse(is_nan(p), p);
      auto gradient = hn::LoadU(d, d_row + i);
      const auto absent = hn::Eq(p, hn::Zero(d));
      if (product != nullptr) hn::StoreU(hn::IfThenZeroElse(absent, hn::Mul(p, gradient)), d, product + i);
      auto weighted = p;
      if (factor != nullptr) {
        const auto f = hn::LoadU(d, factor + i);
        weighted = hn::IfThenZeroElse(absent, hn::Mul(p, f));
        gradient = hn::Mul(gradient, f);
      }
      hn::StoreU(weighted, d, row + i);
      const auto ds = hn::Mul(p, hn::Sub(gradient, term));
      hn::StoreU(hn::IfThenZeroElse(absent, ds), d, d_row + i);
    });
    const int64_t ends[2] = {x.begin, x.end};
    for (T* zeroed : {row, d_row, product})
      if (zeroed != nullptr) clear(zeroed, 0, ends[0]), clear(zeroed, ends[1], keys);
  }
}

template <class T>
T dot(const T* x, const T* y, int64_t n) {
  const hn::ScalableTag<T> d;
  auto sum = hn::Zero(d);
  for_each_vector(d, static_cast<size_t>(n), [&](size_t i, auto m) HWY_ATTR {
    sum = hn::MulAdd(load_n(d, x + i, m), load_n(d, y + i, m), sum);
  });
  return sum_lanes(d, sum);
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
bool finite(int64_t rows, int64_t columns, Rows<const T> x) {
  const hn::ScalableTag<T> d;
  const auto zero = hn::Zero(d);
  auto check = zero;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < columns; i += static_cast<int64_t>(hn::Lanes(d)))
      check = hn::MulAdd(hn::LoadU(d, x.data + r * x.row + i), zero, check);
  return hn::AllTrue(d, hn::Eq(check, zero));
}

template <class T>
void log_sum(int64_t rows, const T* top, const double* total, T* lse) {
  const hn::ScalableTag<T> d;
  constexpr size_t kMost = 64;
  T sums[kMost];
  for (int64_t r = 0; r < rows; r += kMost) {
    const size_t n = std::min(kMost, static_cast<size_t>(rows - r));
    for (size_t i = 0; i < n; ++i) sums[i] = static_cast<T>(total[r + static_cast<int64_t>(i)]);
    for_each_vector(d, n, [&](size_t i, auto m) HWY_ATTR {
      const auto sum = load_n(d, sums + i, m), high = load_n(d, top + r + i, m);
      const auto empty = hn::Eq(sum, hn::Zero(d));
      const auto low = hn::Set(d, -std::numeric_limits<T>::infinity());
      store_n(hn::IfThenElse(empty, low, hn::Add(log(d, sum), high)), d, lse + r + i, m);
    });
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
  k.softmax = &softmax<T>;
  k.values = &values<T>;
  k.transposed = &transposed<T>;
  k.gradient = &gradient<T>;
  k.dot = &dot<T>;
  k.scale = &scale<T>;
  k.finite = &finite<T>;
  k.log_sum = &log_sum<T>;
  return k;
}

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
