// Elements as the wide types in which plain loops compute.
#pragma once

#include <cstdint>
#include <type_traits>

#include "framework/tensor/dtype.h"

namespace fovea {

template <class T>
inline constexpr bool kIsHalf = std::is_same_v<T, f16_t> || std::is_same_v<T, bf16_t>;
template <class T>
inline constexpr bool kIsFloating = std::is_floating_point_v<T> || kIsHalf<T>;

/// double for floating types, int64_t for integers and bool.
template <class T>
using Wide = std::conditional_t<kIsFloating<T>, double, int64_t>;

template <class T>
Wide<T> widen(T x) {
  if constexpr (kIsHalf<T>) {
    return static_cast<float>(x);
  } else {
    return static_cast<Wide<T>>(x);
  }
}

/// Rounds to the nearest T; integers keep their low bits.
template <class T>
T narrow(Wide<T> x) {
  if constexpr (kIsHalf<T>) {
    return T(static_cast<float>(x));
  } else if constexpr (std::is_same_v<T, bool>) {
    return x != 0;
  } else {
    return static_cast<T>(x);
  }
}

inline bool is_not_a_number(double x) { return x != x; }
inline bool is_not_a_number(int64_t) { return false; }

/// Integer arithmetic that wraps around.
inline int64_t wrapping_add(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
inline double wrapping_add(double a, double b) { return a + b; }
inline int64_t wrapping_mul(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}
inline double wrapping_mul(double a, double b) { return a * b; }

}  // namespace fovea
