// Row and column reductions.
#include "ops/shared/simd/reduce.h"

#include <algorithm>
#include <limits>

#include "ops/shared/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/simd/reduce.cpp"
#include "hwy/foreach_target.h"
#include "ops/shared/simd/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {
namespace {

// ---- accumulators: start value, add a vector, merge two, one value at the end

struct SumOp {
  template <class T>
  static constexpr T start() {
    return T(0);
  }
  template <class D>
  struct Acc : Sum<D> {
    HWY_INLINE Acc() : Sum<D>() {}
    HWY_INLINE void take(D, hn::Vec<D> v) { this->add(v); }
  };
};
struct SumSquaresOp {
  template <class T>
  static constexpr T start() {
    return T(0);
  }
  template <class D>
  struct Acc : Sum<D> {
    HWY_INLINE Acc() : Sum<D>() {}
    HWY_INLINE void take(D, hn::Vec<D> v) { this->add_product(v, v); }
  };
};

// Lanes combined by one associative operation, in the lane type.
template <class Op, class D>
struct Lanewise {
  using T = hn::TFromD<D>;
  hn::Vec<D> lanes;
  HWY_INLINE Lanewise() : lanes(hn::Set(D(), Op::template start<T>())) {}
  HWY_INLINE void take(D d, hn::Vec<D> v) { lanes = Op::combine(d, lanes, v); }
  HWY_INLINE void flush() {}
  HWY_INLINE void merge(Lanewise& other) { lanes = Op::combine(D(), lanes, other.lanes); }
  HWY_INLINE hn::Vec<D> result() { return lanes; }
  HWY_INLINE T total() {
    alignas(64) T values[hn::MaxLanes(D())];
    hn::Store(lanes, D(), values);
    auto y = hn::Set(D(), values[0]);
    for (size_t i = 1; i < hn::Lanes(D()); ++i) y = Op::combine(D(), y, hn::Set(D(), values[i]));
    return hn::GetLane(y);
  }
};
template <class T>
constexpr T highest() {
  return std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity()
                                              : std::numeric_limits<T>::max();
}
template <class T>
constexpr T lowest() {
  return std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                              : std::numeric_limits<T>::min();
}
struct ProdOp {
  template <class T>
  static constexpr T start() {
    return T(1);
  }
  template <class D, class V>
  static HWY_INLINE V combine(D, V a, V b) {
    return hn::Mul(a, b);
  }
  template <class D>
  using Acc = Lanewise<ProdOp, D>;
};
struct MaxOp {
  template <class T>
  static constexpr T start() {
    return lowest<T>();
  }
  template <class D, class V>
  static HWY_INLINE V combine(D, V a, V b) {
    return hn::IfThenElse(is_nan(a), a, hn::Max(a, b));
  }
  template <class D>
  using Acc = Lanewise<MaxOp, D>;
};
struct MinOp {
  template <class T>
  static constexpr T start() {
    return highest<T>();
  }
  template <class D, class V>
  static HWY_INLINE V combine(D, V a, V b) {
    return hn::IfThenElse(is_nan(a), a, hn::Min(a, b));
  }
  template <class D>
  using Acc = Lanewise<MinOp, D>;
};

// ---- rows

// Four accumulators hide the latency of an addition.
template <class Op, class T>
HWY_NOINLINE auto reduce_row(const T* x, size_t n) {
  using C = ComputeOf<T>;
  const hn::ScalableTag<C> d;
  const size_t lanes = hn::Lanes(d);
  typename Op::template Acc<decltype(d)> a0, a1, a2, a3;
  size_t i = 0;
  while (n - i >= 4 * lanes) {
    const size_t blocks = std::min(kFlush, (n - i) / (4 * lanes));
    for (size_t k = 0; k < blocks; ++k, i += 4 * lanes) {
      a0.take(d, load(d, x + i));
      a1.take(d, load(d, x + i + lanes));
      a2.take(d, load(d, x + i + 2 * lanes));
      a3.take(d, load(d, x + i + 3 * lanes));
    }
    a0.flush(), a1.flush(), a2.flush(), a3.flush();
  }
  for (; n - i >= lanes; i += lanes) a0.take(d, load(d, x + i));
  if (i < n) a1.take(d, load_tail_or(d, x + i, n - i, Op::template start<C>()));
  a0.merge(a1);
  a2.merge(a3);
  a0.merge(a2);
  return a0.total();
}

template <class Op, class T>
void rows(const void* xv, void* yv, size_t rows, size_t n) {
  const T* x = static_cast<const T*>(xv);
  T* y = static_cast<T*>(yv);
  for (size_t r = 0; r < rows; ++r)
    y[r] = static_cast<T>(static_cast<ComputeOf<T>>(reduce_row<Op>(x + r * n, n)));
}

// ---- columns: a panel of columns goes down all rows, so that each row is read in runs of some kilobytes.
// The accumulators live in L1; four rows at a time pass through registers.

constexpr size_t kPanelVectors = 32;

template <class Op, class T>
HWY_NOINLINE void panel(const T* x, size_t stride, T* y, size_t n, size_t width) {
  using C = ComputeOf<T>;
  const hn::ScalableTag<C> d;
  const size_t lanes = hn::Lanes(d), whole = width / lanes, rest = width % lanes;
  typename Op::template Acc<decltype(d)> acc[kPanelVectors];
  for (size_t r = 0; r < n;) {
    const size_t stop = std::min(n, r + kFlush);
    for (; r < stop; r += std::min<size_t>(4, stop - r)) {
      const T* row = x + r * stride;
      const bool four = stop - r >= 4;
      for (size_t k = 0; k < whole; ++k) {
        auto a = acc[k];
        const T* p = row + k * lanes;
        a.take(d, load(d, p));
        if (four) {
          a.take(d, load(d, p + stride));
          a.take(d, load(d, p + 2 * stride));
          a.take(d, load(d, p + 3 * stride));
        } else {
          for (size_t i = 1; i < stop - r; ++i) a.take(d, load(d, p + i * stride));
        }
        acc[k] = a;
      }
      for (size_t i = 0; rest != 0 && i < std::min<size_t>(4, stop - r); ++i)
        acc[whole].take(d, load_tail(d, row + whole * lanes + i * stride, rest));
    }
    for (size_t k = 0; k < whole + (rest != 0); ++k) acc[k].flush();
  }
  for (size_t k = 0; k < whole; ++k) store(acc[k].result(), d, y + k * lanes);
  if (rest != 0) store_tail(acc[whole].result(), d, y + whole * lanes, rest);
}

template <class Op, class T>
void columns(const void* xv, size_t stride, void* yv, size_t n, size_t cols) {
  const size_t width = kPanelVectors * lanes_of<ComputeOf<T>>();
  for (size_t c = 0; c < cols; c += width)
    panel<Op>(static_cast<const T*>(xv) + c, stride, static_cast<T*>(yv) + c, n, std::min(width, cols - c));
}

// ---- index of the extreme: find the value, then its first place

template <class Op, class T>
void arg_rows(const void* xv, int64_t* y, size_t rows, size_t n) {
  using C = ComputeOf<T>;
  const hn::ScalableTag<C> d;
  for (size_t r = 0; r < rows; ++r) {
    const T* x = static_cast<const T*>(xv) + r * n;
    const C extreme = reduce_row<Op>(x, n);
    const auto wanted = hn::Set(d, extreme);
    const bool nan = extreme != extreme;
    int64_t found = -1;
    size_t i = 0;
    for (; found < 0 && i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
      const auto v = load(d, x + i);
      const intptr_t lane = hn::FindFirstTrue(d, nan ? is_nan(v) : hn::Eq(v, wanted));
      if (lane >= 0) found = static_cast<int64_t>(i) + lane;
    }
    for (; found < 0 && i < n; ++i) {
      const C v = static_cast<C>(x[i]);
      if (nan ? v != v : v == extreme) found = static_cast<int64_t>(i);
    }
    y[r] = found;
  }
}

template <class Op, class T>
void arg_columns(const void* xv, size_t stride, int64_t* y, size_t n, size_t cols) {
  using C = ComputeOf<T>;
  const T* x = static_cast<const T*>(xv);
  constexpr size_t kPanel = 128;
  constexpr bool kMax = std::is_same_v<Op, MaxOp>;
  C best[kPanel];
  for (size_t c0 = 0; c0 < cols; c0 += kPanel) {
    const size_t width = std::min(kPanel, cols - c0);
    for (size_t c = 0; c < width; ++c) best[c] = static_cast<C>(x[c0 + c]), y[c0 + c] = 0;
    for (size_t r = 1; r < n; ++r) {
      const T* row = x + r * stride + c0;
      for (size_t c = 0; c < width; ++c) {
        const C v = static_cast<C>(row[c]);
        const bool better = kMax ? v > best[c] : v < best[c];
        if (best[c] == best[c] && (better || v != v)) best[c] = v, y[c0 + c] = static_cast<int64_t>(r);
      }
    }
  }
}

// ---- bytes

template <bool kAny>
void byte_rows(const void* xv, void* yv, size_t rows, size_t n) {
  const auto* x = static_cast<const uint8_t*>(xv);
  auto* y = static_cast<uint8_t*>(yv);
  for (size_t r = 0; r < rows; ++r) {
    const uint8_t* row = x + r * n;
    size_t i = 0;
    while (i < n && (row[i] != 0) != kAny) ++i;
    y[r] = (i < n) == kAny;
  }
}
template <bool kAny>
void byte_columns(const void* xv, size_t stride, void* yv, size_t n, size_t cols) {
  const auto* x = static_cast<const uint8_t*>(xv);
  auto* y = static_cast<uint8_t*>(yv);
  std::memset(y, !kAny, cols);
  for (size_t r = 0; r < n; ++r)
    for (size_t c = 0; c < cols; ++c) {
      const uint8_t v = x[r * stride + c] != 0;
      y[c] = kAny ? y[c] | v : y[c] & v;
    }
}

constexpr Row<ReduceRows> kRows[] = {
    {"sum", {FOVEA_NUMERIC(rows, SumOp)}},   {"sum_squares", {FOVEA_FLOATING(rows, SumSquaresOp)}},
    {"prod", {FOVEA_NUMERIC(rows, ProdOp)}}, {"max", {FOVEA_NUMERIC(rows, MaxOp)}},
    {"min", {FOVEA_NUMERIC(rows, MinOp)}},
};
constexpr Row<ReduceColumns> kColumns[] = {
    {"sum", {FOVEA_NUMERIC(columns, SumOp)}},   {"sum_squares", {FOVEA_FLOATING(columns, SumSquaresOp)}},
    {"prod", {FOVEA_NUMERIC(columns, ProdOp)}}, {"max", {FOVEA_NUMERIC(columns, MaxOp)}},
    {"min", {FOVEA_NUMERIC(columns, MinOp)}},
};
constexpr Row<ArgRows> kArgRows[] = {
    {"argmax", {FOVEA_NUMERIC(arg_rows, MaxOp)}},
    {"argmin", {FOVEA_NUMERIC(arg_rows, MinOp)}},
};
constexpr Row<ArgColumns> kArgColumns[] = {
    {"argmax", {FOVEA_NUMERIC(arg_columns, MaxOp)}},
    {"argmin", {FOVEA_NUMERIC(arg_columns, MinOp)}},
};

}  // namespace

ReduceRows reduce_rows_for(std::string_view op, DType dtype) {
  if (dtype == DType::u8 || dtype == DType::boolean)
    return op == "any" ? &byte_rows<true> : op == "all" ? &byte_rows<false> : nullptr;
  return find_in(kRows, op, dtype);
}
ReduceColumns reduce_columns_for(std::string_view op, DType dtype) {
  if (dtype == DType::u8 || dtype == DType::boolean)
    return op == "any" ? &byte_columns<true> : op == "all" ? &byte_columns<false> : nullptr;
  return find_in(kColumns, op, dtype);
}
ArgRows arg_rows_for(std::string_view op, DType dtype) { return find_in(kArgRows, op, dtype); }
ArgColumns arg_columns_for(std::string_view op, DType dtype) { return find_in(kArgColumns, op, dtype); }

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::simd {
HWY_EXPORT(reduce_rows_for);
HWY_EXPORT(reduce_columns_for);
HWY_EXPORT(arg_rows_for);
HWY_EXPORT(arg_columns_for);

ReduceRows find_reduce_rows(std::string_view op, DType dtype) {
  return HWY_DYNAMIC_DISPATCH(reduce_rows_for)(op, dtype);
}
ReduceColumns find_reduce_columns(std::string_view op, DType dtype) {
  return HWY_DYNAMIC_DISPATCH(reduce_columns_for)(op, dtype);
}
ArgRows find_arg_rows(std::string_view op, DType dtype) {
  return HWY_DYNAMIC_DISPATCH(arg_rows_for)(op, dtype);
}
ArgColumns find_arg_columns(std::string_view op, DType dtype) {
  return HWY_DYNAMIC_DISPATCH(arg_columns_for)(op, dtype);
}
}  // namespace fovea::simd
#endif
