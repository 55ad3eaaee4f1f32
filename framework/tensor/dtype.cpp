#include "framework/tensor/dtype.h"

#include <bit>

namespace fovea {
namespace {

constexpr std::string_view kNames[kDTypeCount] = {"f32", "f64", "f16", "bf16", "i8",
                                                  "i16", "i32", "i64", "u8",   "bool"};

// Place of each type in bool < u8 < i8 < i16 < i32 < i64 < f16, bf16 < f32 < f64.
constexpr int8_t kRank[kDTypeCount] = {8, 9, 6, 7, 2, 3, 4, 5, 1, 0};

constexpr uint32_t kFloatSign = 0x80000000u;
constexpr uint32_t kFloatInf = 0x7F800000u;
constexpr uint32_t kHalfInf = 0x7C00u;

// value >> shift, rounded to the nearest integer, ties to the even one; 1 <= shift <= 31.
constexpr uint32_t shift_round_even(uint32_t value, int shift) {
  const uint32_t odd = (value >> shift) & 1;
  return (value + (uint32_t{1} << (shift - 1)) - 1 + odd) >> shift;
}

uint16_t half_bits(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t sign = (bits & kFloatSign) >> 16;
  const uint32_t mag = bits & ~kFloatSign;

  // A NaN stays a NaN: its quiet bit is set, so that a payload in the low bits alone cannot turn into
  // infinity.
  if (mag > kFloatInf) return static_cast<uint16_t>(sign | kHalfInf | 0x200u | ((mag >> 13) & 0x3FFu));

  const int exponent = static_cast<int>(mag >> 23) - 127;
  if (exponent > 15) return static_cast<uint16_t>(sign | kHalfInf);
  if (exponent >= -14) {
    // Rebias the exponent from 127 to 15. A carry out of the mantissa gives the next exponent, or infinity.
    return static_cast<uint16_t>(sign | shift_round_even(mag - (uint32_t{127 - 15} << 23), 13));
  }
  if (exponent < -25) return static_cast<uint16_t>(sign);  // below half of the least denormal
  // Denormal: count units of 2^-24.
  const uint32_t mantissa = (mag & 0x7FFFFFu) | 0x800000u;
  return static_cast<uint16_t>(sign | shift_round_even(mantissa, -1 - exponent));
}

float half_value(uint16_t h) {
  const uint32_t sign = (h & 0x8000u) << 16;
  const uint32_t exponent = (h >> 10) & 31;
  const uint32_t mantissa = h & 0x3FFu;
  if (exponent == 31) return std::bit_cast<float>(sign | kFloatInf | (mantissa << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 127 - 15) << 23) | (mantissa << 13));
  const float value = static_cast<float>(mantissa) * 0x1p-24f;  // exact
  return sign ? -value : value;
}

uint16_t brain_bits(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if ((bits & ~kFloatSign) > kFloatInf) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  // The largest finite values carry into infinity, as rounding to nearest asks.
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1)) >> 16);
}

}  // namespace

std::string_view to_string(DType t) {
  const int i = static_cast<int>(t);
  return i < kDTypeCount ? kNames[i] : "invalid";
}

std::optional<DType> dtype_from_string(std::string_view name) {
  for (int i = 0; i < kDTypeCount; ++i)
    if (kNames[i] == name) return static_cast<DType>(i);
  return std::nullopt;
}

DType promote(DType a, DType b) {
  if (kRank[static_cast<int>(a)] > kRank[static_cast<int>(b)]) return promote(b, a);
  if (a == DType::u8 && b == DType::i8) return DType::i16;
  if (a == DType::f16 && b == DType::bf16) return DType::f32;
  return b;
}

f16_t::f16_t(float x) : bits(half_bits(x)) {}
f16_t::operator float() const { return half_value(bits); }
bf16_t::bf16_t(float x) : bits(brain_bits(x)) {}
bf16_t::operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

}  // namespace fovea
