// Conversions between every pair of dtypes.
#include <limits>

#include "ops/shared/simd/pointwise.h"
#include "ops/shared/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/simd/cast.cpp"
#include "hwy/foreach_target.h"
#include "ops/shared/simd/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {
namespace {

template <class H>
void from_half(const void* x, void* y, size_t n) {
  const hn::ScalableTag<float> d;
  const auto* in = static_cast<const H*>(x);
  auto* out = static_cast<float*>(y);
  for_each_vector(d, n, [&](size_t i, auto m) HWY_ATTR { store_n(load_n(d, in + i, m), d, out + i, m); });
}
template <class H>
void to_half(const void* x, void* y, size_t n) {
  const hn::ScalableTag<float> d;
  const auto* in = static_cast<const float*>(x);
  auto* out = static_cast<H*>(y);
  for_each_vector(d, n, [&](size_t i, auto m) HWY_ATTR { store_n(load_n(d, in + i, m), d, out + i, m); });
}

// Integer and double sources to float and back, where whole vectors are enough to be worth it.
template <class From>
void to_float(const void* x, void* y, size_t n) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<From, decltype(d)> from;
  const auto* in = static_cast<const From*>(x);
  auto* out = static_cast<float*>(y);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    const auto v = hn::LoadU(from, in + i);
    if constexpr (sizeof(From) == 1) {
      const hn::RebindToSigned<decltype(d)> di;
      hn::StoreU(hn::ConvertTo(d, hn::PromoteTo(di, v)), d, out + i);
    } else {
      hn::StoreU(hn::ConvertTo(d, v), d, out + i);
    }
  }
  for (; i < n; ++i) out[i] = static_cast<float>(in[i]);
}
void float_to_double(const void* x, void* y, size_t n) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> from;
  const auto* in = static_cast<const float*>(x);
  auto* out = static_cast<double*>(y);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d))
    hn::StoreU(hn::PromoteTo(d, hn::LoadU(from, in + i)), d, out + i);
  for (; i < n; ++i) out[i] = in[i];
}
void double_to_float(const void* x, void* y, size_t n) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> to;
  const auto* in = static_cast<const double*>(x);
  auto* out = static_cast<float*>(y);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d))
    hn::StoreU(hn::DemoteTo(to, hn::LoadU(d, in + i)), to, out + i);
  for (; i < n; ++i) out[i] = static_cast<float>(in[i]);
}

}  // namespace

Unary cast_for(DType from, DType to) {
  if (to == DType::f32) {
    switch (from) {
      case DType::f16:
        return &from_half<f16_t>;
      case DType::bf16:
        return &from_half<bf16_t>;
      case DType::f64:
        return &double_to_float;
      case DType::i32:
        return &to_float<int32_t>;
      case DType::u8:
        return &to_float<uint8_t>;
      default:
        return nullptr;
    }
  }
  if (from != DType::f32) return nullptr;
  switch (to) {
    case DType::f16:
      return &to_half<f16_t>;
    case DType::bf16:
      return &to_half<bf16_t>;
    case DType::f64:
      return &float_to_double;
    default:
      return nullptr;
  }
}

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::simd {
namespace {

template <class T>
inline constexpr bool kHalf = std::is_same_v<T, f16_t> || std::is_same_v<T, bf16_t>;

template <class To, class From>
To convert(From x) {
  if constexpr (kHalf<From>) {
    return convert<To>(static_cast<float>(x));
  } else if constexpr (kHalf<To>) {
    return To(static_cast<float>(x));
  } else if constexpr (std::is_same_v<To, bool>) {
    return x != 0;
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // max + 1 is a power of two, exact in any floating type; min is too.
    constexpr From above = From(2) * (From(std::numeric_limits<To>::max() / 2) + 1);
    if (!(x == x)) return 0;
    if (x >= above) return std::numeric_limits<To>::max();
    if (x <= From(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
    return static_cast<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

// Bools are read as bytes: any value but 0 is true.
template <class T>
using Stored = std::conditional_t<std::is_same_v<T, bool>, uint8_t, T>;

template <class From, class To>
void cast_loop(const void* x, void* y, size_t n) {
  const auto* in = static_cast<const Stored<From>*>(x);
  auto* out = static_cast<Stored<To>*>(y);
  if constexpr (std::is_same_v<From, To>) {
    if (n != 0) std::memmove(y, x, n * sizeof(From));
  } else if constexpr (std::is_same_v<From, bool>) {
    for (size_t i = 0; i < n; ++i) out[i] = convert<To>(static_cast<uint8_t>(in[i] != 0));
  } else {
    for (size_t i = 0; i < n; ++i) out[i] = convert<To>(in[i]);
  }
}

}  // namespace

HWY_EXPORT(cast_for);

Unary find_cast(DType from, DType to) {
  if (Unary f = HWY_DYNAMIC_DISPATCH(cast_for)(from, to)) return f;
  return dispatch(from, [to](auto f) {
    return dispatch(to, [](auto t) -> Unary { return &cast_loop<decltype(f), decltype(t)>; });
  });
}

}  // namespace fovea::simd
#endif
