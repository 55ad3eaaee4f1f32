// Loads, stores and conversions that all vector kernels share. Compiled once for each instruction set.
#if defined(FOVEA_OPS_SHARED_SIMD_VEC_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_OPS_SHARED_SIMD_VEC_INL_H_
#undef FOVEA_OPS_SHARED_SIMD_VEC_INL_H_
#else
#define FOVEA_OPS_SHARED_SIMD_VEC_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "framework/tensor/dtype.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// The type in which values stored as T are computed: float for the half types, T itself otherwise.
template <class T>
using ComputeOf = std::conditional_t<sizeof(T) == 2 && !std::is_arithmetic_v<T>, float, T>;

/// Lanes that are NaN. (Ne(v, v) will not do: in Highway 1.0.3 it is false for NaN on AVX2 and AVX-512.) All
/// false for integers.
template <class V>
HWY_INLINE auto is_nan(V v) {
  return hn::Not(hn::Eq(v, v));
}

/// Loads one vector of compute type from values stored as T, widening half types.
template <class D, class T>
HWY_INLINE hn::Vec<D> load(D d, const T* p) {
  if constexpr (std::is_same_v<T, hn::TFromD<D>>) {
    return hn::LoadU(d, p);
  } else if constexpr (std::is_same_v<T, bf16_t>) {
    const hn::Rebind<uint16_t, D> d16;
    const hn::Rebind<uint32_t, D> d32;
    const auto bits = hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p));
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, bits)));
  } else {
    static_assert(std::is_same_v<T, f16_t>);
#if HWY_TARGET == HWY_SSE4
    alignas(64) float wide[hn::MaxLanes(d)];
    for (size_t i = 0; i < hn::Lanes(d); ++i) wide[i] = static_cast<float>(p[i]);
    return hn::Load(d, wide);
#else
    const hn::Rebind<hwy::float16_t, D> d16;
    return hn::PromoteTo(d, hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(p)));
#endif
  }
}

/// Stores one vector, rounding to nearest even where T is a half type.
template <class D, class T>
HWY_INLINE void store(hn::Vec<D> v, D d, T* p) {
  if constexpr (std::is_same_v<T, hn::TFromD<D>>) {
    hn::StoreU(v, d, p);
  } else if constexpr (std::is_same_v<T, bf16_t>) {
    const hn::Rebind<uint16_t, D> d16;
    const hn::Rebind<uint32_t, D> d32;
    const auto bits = hn::BitCast(d32, v);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d32, 1));
    const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(d32, 0x7FFF)));
    const auto quiet = hn::Or(bits, hn::Set(d32, 0x400000));
    const auto nan = hn::RebindMask(d32, is_nan(v));
    const auto upper = hn::ShiftRight<16>(hn::IfThenElse(nan, quiet, rounded));
    hn::StoreU(hn::TruncateTo(d16, upper), d16, reinterpret_cast<uint16_t*>(p));
  } else {
    static_assert(std::is_same_v<T, f16_t>);
#if HWY_TARGET == HWY_SSE4
    alignas(64) float wide[hn::MaxLanes(d)];
    hn::Store(v, d, wide);
    for (size_t i = 0; i < hn::Lanes(d); ++i) p[i] = f16_t(wide[i]);
#else
    const hn::Rebind<hwy::float16_t, D> d16;
    hn::StoreU(hn::DemoteTo(d16, v), d16, reinterpret_cast<hwy::float16_t*>(p));
#endif
  }
}

/// 0, 1, 2, ... Loaded: where Highway 1.0.3 has no wider way it stores the lanes one by one and reads them
/// back as a vector, which waits for every store.
template <class D>
HWY_INLINE hn::Vec<D> iota(D d) {
  using T = hn::TFromD<D>;
  static_assert(sizeof(T) >= 4 && hn::MaxLanes(d) <= 16);
  alignas(64) static constexpr T kNumbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return hn::LoadU(d, kNumbers);
}

/// The first n lanes.
template <class D>
HWY_INLINE hn::Mask<D> first_n(D d, size_t n) {
#if HWY_TARGET == HWY_AVX3
  return hn::FirstN(d, n);
#else
  const hn::RebindToSigned<D> di;
  return hn::RebindMask(d, hn::Lt(iota(di), hn::Set(di, static_cast<hn::TFromD<decltype(di)>>(n))));
#endif
}

// Masked memory operations that never touch bytes outside the mask exist only for wide lanes on AVX2 and
// later.
template <class D, class T>
inline constexpr bool kMaskable = (HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3) &&
                                  sizeof(T) >= 4 && std::is_same_v<T, hn::TFromD<D>>;

/// Loads the first n (< lanes) values; the other lanes are zero. Reads nothing behind p[n - 1].
template <class D, class T>
HWY_INLINE hn::Vec<D> load_tail(D d, const T* p, size_t n) {
  if constexpr (kMaskable<D, T>) {
    return hn::MaskedLoad(first_n(d, n), d, p);
  } else {
    T buffer[hn::MaxLanes(d)] = {};
    std::memcpy(buffer, p, n % hn::MaxLanes(d) * sizeof(T));
    return load(d, buffer);
  }
}

/// Like load_tail, with `fill` in the lanes behind.
template <class D, class T>
HWY_INLINE hn::Vec<D> load_tail_or(D d, const T* p, size_t n, hn::TFromD<D> fill) {
  return hn::IfThenElse(first_n(d, n), load_tail(d, p, n), hn::Set(d, fill));
}

/// Stores the first n (< lanes) values and touches nothing behind them.
template <class D, class T>
HWY_INLINE void store_tail(hn::Vec<D> v, D d, T* p, size_t n) {
  if constexpr (kMaskable<D, T>) {
    hn::BlendedStore(v, first_n(d, n), d, p);
  } else {
    T buffer[hn::MaxLanes(d)];
    store(v, d, buffer);
    std::memcpy(p, buffer, n % hn::MaxLanes(d) * sizeof(T));
  }
}

// A kernel's body is written once for whole vectors (All) and for the rest of a row (a count).
struct All {};
template <class D, class T>
HWY_INLINE hn::Vec<D> load_or(D d, const T* p, All, hn::TFromD<D>) {
  return load(d, p);
}
template <class D, class T>
HWY_INLINE hn::Vec<D> load_or(D d, const T* p, size_t n, hn::TFromD<D> fill) {
  return load_tail_or(d, p, n, fill);
}
template <class D, class T, class N>
HWY_INLINE hn::Vec<D> load_n(D d, const T* p, N n) {
  if constexpr (std::is_same_v<N, All>) {
    return load(d, p);
  } else {
    return load_tail(d, p, n);
  }
}
template <class D, class T, class N>
HWY_INLINE void store_n(hn::Vec<D> v, D d, T* p, N n) {
  if constexpr (std::is_same_v<N, All>) {
    store(v, d, p);
  } else {
    store_tail(v, d, p, n);
  }
}

/// Calls f(i, All()) for each whole vector of [0, n), then f(i, rest) if lanes are left over.
template <class D, class F>
HWY_INLINE void for_each_vector(D d, size_t n, F f) {
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) f(i, All());
  if (i < n) f(i, n - i);
}

/// Writes one byte, 0 or 1, for each lane of a mask over d (4- or 8-byte lanes).
template <class D, class M>
HWY_INLINE void store_mask([[maybe_unused]] D d, M mask, uint8_t* p) {
  const hn::RebindToUnsigned<D> du;
  const hn::Rebind<uint8_t, D> d8;
  const auto ones = hn::IfThenElseZero(hn::RebindMask(du, mask), hn::Set(du, 1));
  hn::StoreU(hn::TruncateTo(d8, ones), d8, p);
}

/// The mask of lanes whose byte is not zero, for lanes of 4 or 8 bytes.
template <class D>
HWY_INLINE hn::Mask<D> load_mask(D d, const uint8_t* p) {
  const hn::Rebind<uint8_t, D> d8;
  const hn::Rebind<uint32_t, D> d32;
  const hn::RebindToUnsigned<D> du;
  const auto wide = hn::PromoteTo(d32, hn::LoadU(d8, p));
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    return hn::RebindMask(d, hn::Ne(hn::PromoteTo(du, wide), hn::Zero(du)));
  } else {
    return hn::RebindMask(d, hn::Ne(wide, hn::Zero(d32)));
  }
}

template <class D>
HWY_INLINE hn::TFromD<D> sum_lanes(D d, hn::Vec<D> v) {
  if constexpr (std::is_integral_v<hn::TFromD<D>>) {
    // Integers wrap around: added as unsigned ones, since GCC's own reduction adds signed ones, where that is
    // undefined.
    using Unsigned = std::make_unsigned_t<hn::TFromD<D>>;
    HWY_ALIGN hn::TFromD<D> lanes[hn::MaxLanes(d)];
    hn::Store(v, d, lanes);
    Unsigned sum = 0;
    for (size_t i = 0; i < hn::Lanes(d); ++i) sum += static_cast<Unsigned>(lanes[i]);
    return static_cast<hn::TFromD<D>>(sum);
  } else {
    return hn::GetLane(hn::SumOfLanes(d, v));
  }
}
template <class D>
HWY_INLINE hn::TFromD<D> max_lanes(D d, hn::Vec<D> v) {
  return hn::GetLane(hn::MaxOfLanes(d, v));
}

// Constructors are spelled out: an implicit one would be compiled without the instruction set of this
// namespace.

/// Sums in the lane type; add() calls between flush() calls are bounded for float, so that float lanes never
/// gather many roundings: flush() moves them into double lanes. For other types flush() does nothing.
template <class D, bool kWide = std::is_same_v<hn::TFromD<D>, float>>
struct Sum {
  using V = hn::Vec<D>;
  V lanes;
  HWY_INLINE Sum() : lanes(hn::Zero(D())) {}
  HWY_INLINE void add(V v) { lanes = hn::Add(lanes, v); }
  HWY_INLINE void add_product(V a, V b) { lanes = hn::MulAdd(a, b, lanes); }
  HWY_INLINE void flush() {}
  HWY_INLINE void merge(Sum& other) { lanes = hn::Add(lanes, other.lanes); }
  HWY_INLINE V result() { return lanes; }
  HWY_INLINE hn::TFromD<D> total() { return sum_lanes(D(), lanes); }
};
template <class D>
struct Sum<D, true> {
  using V = hn::Vec<D>;
  using DD = hn::RepartitionToWide<D>;
  V lanes;
  hn::Vec<DD> low, high;
  HWY_INLINE Sum() : lanes(hn::Zero(D())), low(hn::Zero(DD())), high(hn::Zero(DD())) {}
  HWY_INLINE void add(V v) { lanes = hn::Add(lanes, v); }
  HWY_INLINE void add_product(V a, V b) { lanes = hn::MulAdd(a, b, lanes); }
  HWY_INLINE void flush() {
    const hn::Half<D> half;
    low = hn::Add(low, hn::PromoteTo(DD(), hn::LowerHalf(half, lanes)));
    high = hn::Add(high, hn::PromoteTo(DD(), hn::UpperHalf(half, lanes)));
    lanes = hn::Zero(D());
  }
  HWY_INLINE void merge(Sum& other) {
    flush();
    other.flush();
    low = hn::Add(low, other.low);
    high = hn::Add(high, other.high);
  }
  HWY_INLINE V result() {
    flush();
    const hn::Half<D> half;
    return hn::Combine(D(), hn::DemoteTo(half, high), hn::DemoteTo(half, low));
  }
  HWY_INLINE double total() {
    flush();
    return sum_lanes(DD(), hn::Add(low, high));
  }
};
inline constexpr size_t kFlush = 32;  // vectors added to one Sum between flushes

/// A Sum that flushes by itself.
template <class D>
struct RowSum {
  Sum<D> sum;
  size_t count;
  HWY_INLINE RowSum() : sum(), count(0) {}
  HWY_INLINE void add(hn::Vec<D> v) {
    sum.add(v);
    tick();
  }
  HWY_INLINE void add_product(hn::Vec<D> a, hn::Vec<D> b) {
    sum.add_product(a, b);
    tick();
  }
  HWY_INLINE void tick() {
    if (++count % kFlush == 0) sum.flush();
  }
  HWY_INLINE double total() { return sum.total(); }
};

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
