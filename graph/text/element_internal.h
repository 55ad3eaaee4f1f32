// What printer and parser share.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "framework/tensor/dtype.h"

namespace fovea::text {

/// Characters of a function's name that need no quotes.
inline bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '-';
}

template <class T>
using BitsOf =
    std::conditional_t<sizeof(T) == 8, uint64_t, std::conditional_t<sizeof(T) == 4, uint32_t, uint16_t>>;

/// The NaN that is written "nan"; others are written with their bits.
template <class T>
T standard_nan() {
  if constexpr (std::is_floating_point_v<T>)
    return std::numeric_limits<T>::quiet_NaN();
  else if constexpr (std::is_same_v<T, f16_t>)
    return std::bit_cast<f16_t>(uint16_t{0x7E00});
  else
    return std::bit_cast<bf16_t>(uint16_t{0x7FC0});
}

}  // namespace fovea::text
