// What the instructions of tile programs compute for one element.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "ops/shared/tile/program.h"

namespace fovea::tiles {

inline bool is_comparison(Code c) { return c >= Code::less && c <= Code::not_equal; }
inline bool is_logical(Code c) {
  return c == Code::logical_not || (c >= Code::logical_and && c <= Code::logical_xor);
}
/// The operands may change places and every bit stays: of maximum and minimum the first operand's NaN or zero
/// comes out.
inline bool commutes_bitwise(Code c) {
  return c == Code::add || c == Code::mul || c == Code::equal || c == Code::not_equal ||
         (c >= Code::logical_and && c <= Code::logical_xor);
}
/// The operands may change places and the number stays, as algebra sees it.
inline bool commutes(Code c) { return commutes_bitwise(c) || c == Code::maximum || c == Code::minimum; }

// Integers wrap around; a division by 0 gives 0.
inline int64_t wrap(uint64_t x) { return static_cast<int64_t>(x); }
inline int64_t integer_div(int64_t a, int64_t b) {
  return b == 0 ? 0 : b == -1 ? wrap(0 - static_cast<uint64_t>(a)) : a / b;
}
inline int64_t integer_mod(int64_t a, int64_t b) {
  if (b == 0 || b == -1) return 0;
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}
inline int64_t integer_floor_div(int64_t a, int64_t b) {
  if (b == 0 || b == -1) return integer_div(a, b);
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}
inline int64_t integer_pow(int64_t base, int64_t exponent) {
  if (exponent < 0) return base == -1 ? (exponent % 2 == 0 ? 1 : -1) : base == 1;
  uint64_t y = 1, x = static_cast<uint64_t>(base);
  for (; exponent > 0; exponent /= 2, x *= x)
    if (exponent % 2 == 1) y *= x;
  return wrap(y);
}
inline int64_t integer_of(double x) {
  if (x != x) return 0;
  if (x >= 0x1p63) return std::numeric_limits<int64_t>::max();
  return x < -0x1p63 ? std::numeric_limits<int64_t>::min() : static_cast<int64_t>(x);
}

inline int64_t integer_unary(Code code, int64_t a) {
  const int64_t negative = wrap(0 - static_cast<uint64_t>(a));
  if (code == Code::neg) return negative;
  if (code == Code::abs) return a < 0 ? negative : a;
  return a > 0 ? 1 : a < 0 ? -1 : 0;  // sign
}
inline int64_t integer_binary(Code code, int64_t a, int64_t b) {
  const auto x = static_cast<uint64_t>(a), y = static_cast<uint64_t>(b);
  switch (code) {
    case Code::add:
      return wrap(x + y);
    case Code::sub:
      return wrap(x - y);
    case Code::mul:
      return wrap(x * y);
    case Code::div:
      return integer_div(a, b);
    case Code::maximum:
      return a > b ? a : b;
    case Code::minimum:
      return a < b ? a : b;
    case Code::pow:
      return integer_pow(a, b);
    case Code::mod:
      return integer_mod(a, b);
    default:
      return integer_floor_div(a, b);
  }
}
template <class T>
bool compare(Code code, T a, T b) {
  switch (code) {
    case Code::less:
      return a < b;
    case Code::less_equal:
      return a <= b;
    case Code::equal:
      return a == b;
    default:
      return !(a == b);
  }
}
inline bool logical(Code code, bool a, bool b) {
  return code == Code::logical_and ? a && b : code == Code::logical_or ? a || b : a != b;
}

inline double real_unary(Code code, double x) {
  switch (code) {
    case Code::neg:
      return -x;
    case Code::abs:
      return std::fabs(x);
    case Code::sign:
      return x > 0 ? 1 : x < 0 ? -1 : x == 0 ? 0 : x;
    case Code::exp:
      return std::exp(x);
    case Code::expm1:
      return std::expm1(x);
    case Code::log:
      return std::log(x);
    case Code::log1p:
      return std::log1p(x);
    case Code::sqrt:
      return std::sqrt(x);
    case Code::rsqrt:
      return 1 / std::sqrt(x);
    case Code::reciprocal:
      return 1 / x;
    case Code::tanh:
      return std::tanh(x);
    case Code::sigmoid:
      return 1 / (1 + std::exp(-x));
    case Code::erf:
      return std::erf(x);
    case Code::sin:
      return std::sin(x);
    case Code::cos:
      return std::cos(x);
    case Code::floor:
      return std::floor(x);
    case Code::ceil:
      return std::ceil(x);
    default:
      return std::nearbyint(x);  // round
  }
}
inline double real_mod(double a, double b) {
  const double r = std::fmod(a, b);
  if (r == 0) return std::copysign(r, b);
  return (r < 0) != (b < 0) ? r + b : r;
}
inline double real_binary(Code code, double a, double b) {
  switch (code) {
    case Code::add:
      return a + b;
    case Code::sub:
      return a - b;
    case Code::mul:
      return a * b;
    case Code::div:
      return a / b;
    case Code::maximum:
      return a != a ? a : b != b ? b : a > b ? a : b;
    case Code::minimum:
      return a != a ? a : b != b ? b : a < b ? a : b;
    case Code::pow:
      return std::pow(a, b);
    case Code::mod:
      return real_mod(a, b);
    default:
      return std::floor(a / b);
  }
}

}  // namespace fovea::tiles
