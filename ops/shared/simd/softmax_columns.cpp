// Lanes are columns, so that maxima and sums need no exchange between lanes. Several vectors side by side
// keep the processor's units busy.
#include "ops/shared/simd/softmax_columns.h"

#include <algorithm>
#include <limits>

#include "ops/shared/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/simd/softmax_columns.cpp"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "ops/shared/simd/math-inl.h"
#include "ops/shared/simd/vec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {
namespace {

// Rows whose sum is gathered by itself, so that float lanes never gather many roundings.
constexpr int64_t kRowsPerSum = 32;

template <class D>
HWY_INLINE auto is_minus_inf(D d, hn::Vec<D> v) {
  return hn::Eq(v, hn::Set(d, -std::numeric_limits<hn::TFromD<D>>::infinity()));
}

// W vectors of columns, from column `first` on.
template <int W, class T>
void exp_vectors(const ExpColumns<T>& c, int64_t first) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto value = [&](int64_t row, int i) HWY_ATTR {
    const V x = hn::LoadU(d, c.x + row * kTileColumns + first + i * lanes);
    return c.bias ? hn::Add(x, hn::Set(d, c.bias[row])) : x;
  };
  V max[W], shift[W], sum[W], part[W], gaps[W];
  // A NaN may be lost here; it comes back through exp(NaN - max).
  for (int i = 0; i < W; ++i) max[i] = hn::Set(d, -std::numeric_limits<T>::infinity());
  for (int64_t row = 0; row < c.rows; ++row)
    for (int i = 0; i < W; ++i) max[i] = hn::Max(max[i], value(row, i));
  for (int i = 0; i < W; ++i) {
    shift[i] = hn::IfThenElse(is_minus_inf(d, max[i]), hn::Zero(d), max[i]);
    sum[i] = gaps[i] = hn::Zero(d);
  }
  for (int64_t begin = 0; begin < c.rows; begin += kRowsPerSum) {
    for (int i = 0; i < W; ++i) part[i] = hn::Zero(d);
    const int64_t end = std::min(c.rows, begin + kRowsPerSum);
    for (int64_t row = begin; row < end; ++row)
      for (int i = 0; i < W; ++i) {
        const V e = exp(d, hn::Sub(value(row, i), shift[i]));
        part[i] = hn::Add(part[i], e);
        T* to = c.e + row * kTileColumns + first + i * lanes;
        if (c.stream)
          hn::Stream(e, d, to);
        else
          hn::StoreU(e, d, to);
      }
    for (int i = 0; i < W; ++i) sum[i] = hn::Add(sum[i], part[i]);
  }
  for (int i = 0; i < W; ++i) {
    hn::StoreU(max[i], d, c.max + first + i * lanes);
    hn::StoreU(sum[i], d, c.sum + first + i * lanes);
  }
}

// Before x is overwritten.
template <class T>
void gap_columns(const ExpColumns<T>& c) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  for (int64_t at = 0; at < c.columns; at += static_cast<int64_t>(hn::Lanes(d))) {
    const auto value = [&](int64_t row) HWY_ATTR {
      const V x = hn::LoadU(d, c.x + row * kTileColumns + at);
      return c.bias ? hn::Add(x, hn::Set(d, c.bias[row])) : x;
    };
    V max = value(0), sum = hn::Zero(d);
    for (int64_t row = 1; row < c.rows; ++row) max = hn::Max(max, value(row));
    for (int64_t begin = 0; begin < c.rows; begin += kRowsPerSum) {
      V part = hn::Zero(d);
      for (int64_t row = begin; row < std::min(c.rows, begin + kRowsPerSum); ++row)
        part = hn::Add(part, hn::Sub(max, value(row)));
      sum = hn::Add(sum, part);
    }
    hn::StoreU(sum, d, c.gaps + at);
  }
}

template <class T>
void exp_columns_of(const ExpColumns<T>& c) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  if (c.gaps && c.rows > 0) gap_columns(c);
  int64_t at = 0;
  for (; at + 4 * lanes <= c.columns; at += 4 * lanes) exp_vectors<4>(c, at);
  for (; at < c.columns; at += lanes) exp_vectors<1>(c, at);
  if (c.stream) hwy::FlushStream();
}

template <class T>
void join_columns_of(const JoinColumns<T>& c) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t at = 0; at < c.columns; at += lanes) {
    V largest = hn::Set(d, -std::numeric_limits<T>::infinity());
    for (int64_t i = 0; i < c.tiles; ++i)
      largest = hn::Max(largest, hn::LoadU(d, c.max + i * kTileColumns + at));
    hn::StoreU(largest, d, c.largest + at);
    double total[hn::MaxLanes(d)] = {};
    for (int64_t i = 0; i < c.tiles; ++i) {
      T* max = c.max + i * kTileColumns + at;
      const V factor = exp(d, hn::Sub(hn::LoadU(d, max), largest));
      hn::StoreU(factor, d, max);
      const T* sum = c.sum + i * kTileColumns + at;
      for (int64_t j = 0; j < lanes; ++j)
        total[j] += static_cast<double>(max[j]) * static_cast<double>(sum[j]);
    }
    std::copy_n(total, lanes, c.total + at);
  }
}

template <class T>
void scale_columns_of(const ScaleColumns<T>& c) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t at = 0; at < c.columns; at += lanes) {
    const V scale = hn::LoadU(d, c.scale + at), shift = hn::LoadU(d, c.shift + at);
    const V factor = hn::Mul(hn::LoadU(d, c.factor + at), scale);
    // Not Ne: a scale of NaN must come through.
    const auto counts = hn::Not(hn::Eq(scale, hn::Zero(d)));
    for (int64_t row = 0; row < c.rows; ++row) {
      T* e = c.e + row * kTileColumns + at;
      hn::StoreU(hn::IfThenElseZero(counts, hn::MulSub(hn::LoadU(d, e), factor, shift)), d, e);
    }
  }
}

template <class T>
void add_row_sums_of(const T* tile, int64_t rows, int64_t columns, T* sums) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t row = 0; row < rows; ++row) {
    auto sum = hn::LoadU(d, tile + row * kTileColumns);
    for (int64_t at = lanes; at < columns; at += lanes)
      sum = hn::Add(sum, hn::LoadU(d, tile + row * kTileColumns + at));
    sums[row] += sum_lanes(d, sum);
  }
}

}  // namespace

void exp_columns_f32(const ExpColumns<float>& c) { exp_columns_of(c); }
void exp_columns_f64(const ExpColumns<double>& c) { exp_columns_of(c); }
void join_columns_f32(const JoinColumns<float>& c) { join_columns_of(c); }
void join_columns_f64(const JoinColumns<double>& c) { join_columns_of(c); }
void scale_columns_f32(const ScaleColumns<float>& c) { scale_columns_of(c); }
void scale_columns_f64(const ScaleColumns<double>& c) { scale_columns_of(c); }
void add_row_sums_f32(const float* tile, int64_t rows, int64_t columns, float* sums) {
  add_row_sums_of(tile, rows, columns, sums);
}
void add_row_sums_f64(const double* tile, int64_t rows, int64_t columns, double* sums) {
  add_row_sums_of(tile, rows, columns, sums);
}

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::simd {
HWY_EXPORT(exp_columns_f32);
HWY_EXPORT(exp_columns_f64);
HWY_EXPORT(join_columns_f32);
HWY_EXPORT(join_columns_f64);
HWY_EXPORT(scale_columns_f32);
HWY_EXPORT(scale_columns_f64);
void exp_columns(const ExpColumns<float>& c) { HWY_DYNAMIC_DISPATCH(exp_columns_f32)(c); }
void exp_columns(const ExpColumns<double>& c) { HWY_DYNAMIC_DISPATCH(exp_columns_f64)(c); }
void join_columns(const JoinColumns<float>& c) { HWY_DYNAMIC_DISPATCH(join_columns_f32)(c); }
void join_columns(const JoinColumns<double>& c) { HWY_DYNAMIC_DISPATCH(join_columns_f64)(c); }
void scale_columns(const ScaleColumns<float>& c) { HWY_DYNAMIC_DISPATCH(scale_columns_f32)(c); }
void scale_columns(const ScaleColumns<double>& c) { HWY_DYNAMIC_DISPATCH(scale_columns_f64)(c); }
HWY_EXPORT(add_row_sums_f32);
HWY_EXPORT(add_row_sums_f64);
void add_row_sums(const float* tile, int64_t rows, int64_t columns, float* sums) {
  HWY_DYNAMIC_DISPATCH(add_row_sums_f32)(tile, rows, columns, sums);
}
void add_row_sums(const double* tile, int64_t rows, int64_t columns, double* sums) {
  HWY_DYNAMIC_DISPATCH(add_row_sums_f64)(tile, rows, columns, sums);
}
}  // namespace fovea::simd
#endif
