// Element types.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace fovea {

/// Element type of a tensor. Values are part of the file format: append only.
enum class DType : uint8_t { f32 = 0, f64, f16, bf16, i8, i16, i32, i64, u8, boolean };
inline constexpr int kDTypeCount = 10;

/// Bytes of one element.
constexpr int64_t size_of(DType t) {
  constexpr int8_t bytes[kDTypeCount] = {4, 8, 2, 2, 1, 2, 4, 8, 1, 1};
  return bytes[static_cast<int>(t)];
}
constexpr bool is_floating(DType t) { return t <= DType::bf16; }
constexpr bool is_integer(DType t) { return t >= DType::i8 && t <= DType::u8; }

/// "f32", "f64", "f16", "bf16", "i8", "i16", "i32", "i64", "u8", "bool".
std::string_view to_string(DType t);
/// The type of that name, if there is one.
std::optional<DType> dtype_from_string(std::string_view name);

/// The type in which an operation of `a` and `b` computes: bool < u8 < i8 < i16 < i32 < i64 < f16, bf16 < f32
/// < f64; u8 with i8 gives i16, f16 with bf16 gives f32. (The kind decides before the width: i64 with f16
/// gives f16.)
DType promote(DType a, DType b);

/// IEEE 754 binary16, stored; arithmetic happens in float.
struct f16_t {
  uint16_t bits = 0;
  f16_t() = default;
  explicit f16_t(float x);
  explicit operator float() const;
};
/// bfloat16 (the upper half of a float, rounded to nearest even), stored; arithmetic happens in float.
struct bf16_t {
  uint16_t bits = 0;
  bf16_t() = default;
  explicit bf16_t(float x);
  explicit operator float() const;
};

template <class T>
struct dtype_of_;
template <>
struct dtype_of_<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct dtype_of_<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct dtype_of_<f16_t> {
  static constexpr DType value = DType::f16;
};
template <>
struct dtype_of_<bf16_t> {
  static constexpr DType value = DType::bf16;
};
template <>
struct dtype_of_<int8_t> {
  static constexpr DType value = DType::i8;
};
template <>
struct dtype_of_<int16_t> {
  static constexpr DType value = DType::i16;
};
template <>
struct dtype_of_<int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct dtype_of_<int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct dtype_of_<uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct dtype_of_<bool> {
  static constexpr DType value = DType::boolean;
};
/// dtype_of<float> == DType::f32, and so on for every element type.
template <class T>
inline constexpr DType dtype_of = dtype_of_<T>::value;

/// Calls f(T{}) with the C++ type of `t`; f must return the same type for all.
template <class F>
decltype(auto) dispatch(DType t, F&& f) {
  switch (t) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::f16:
      return f(f16_t{});
    case DType::bf16:
      return f(bf16_t{});
    case DType::i8:
      return f(int8_t{});
    case DType::i16:
      return f(int16_t{});
    case DType::i32:
      return f(int32_t{});
    case DType::i64:
      return f(int64_t{});
    case DType::u8:
      return f(uint8_t{});
    case DType::boolean:
      break;
  }
  return f(bool{});
}

}  // namespace fovea
