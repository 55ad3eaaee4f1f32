// Single elements: reading from memory and converting between types.
#pragma once

#include <limits>
#include <type_traits>

#include "framework/tensor/dtype.h"

namespace fovea {

/// The element at `p`. A bool is one byte that may come from outside: any byte but 0 is true.
template <class T>
T load_element(const T* p) {
  if constexpr (std::is_same_v<T, bool>) {
    return *reinterpret_cast<const uint8_t*>(p) != 0;
  } else {
    return *p;
  }
}

/// x as a To: floats to integers truncate and saturate, NaN becomes 0; anything to bool is x != 0; integers
/// to narrower integers keep the low bits; to and from the 16-bit floats goes through float.
template <class To, class From>
To convert_element(From x) {
  constexpr bool from_half = std::is_same_v<From, f16_t> || std::is_same_v<From, bf16_t>;
  constexpr bool to_half = std::is_same_v<To, f16_t> || std::is_same_v<To, bf16_t>;
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (from_half) {
    return convert_element<To>(static_cast<float>(x));
  } else if constexpr (to_half) {
    return To(static_cast<float>(x));
  } else if constexpr (std::is_same_v<To, bool>) {
    return x != From{0};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    constexpr To lowest = std::numeric_limits<To>::min(), highest = std::numeric_limits<To>::max();
    const double v = x;
    if (v != v) return 0;
    if (v <= static_cast<double>(lowest)) return lowest;
    if (v >= static_cast<double>(highest)) return highest;  // 2^63 for 64 bits: the first value out of range
    return static_cast<To>(v);
  } else {
    return static_cast<To>(x);
  }
}

}  // namespace fovea
