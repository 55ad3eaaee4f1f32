// The judge's elementwise loops: any dtype, any strides, one element at a time, computed in double (integers
// and bools in int64). Clear rather than fast.
#pragma once

#include <cstdint>

#include "framework/backend/kernel.h"
#include "ops/shared/strided_loop.h"
#include "ops/shared/widen.h"

namespace fovea {

inline int64_t wrapping_sub(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}
inline double wrapping_sub(double a, double b) { return a - b; }

/// Reads and writes one element of a dtype known at run time. A double becomes an integer by truncation with
/// saturation and NaN as 0, an int64 keeps its low bits, and anything but 0 is true.
struct ElementAccess {
  double (*load)(const void* base, int64_t index);
  int64_t (*load_int)(const void* base, int64_t index);
  void (*store)(void* base, int64_t index, double value);
  void (*store_int)(void* base, int64_t index, int64_t value);
};
const ElementAccess& element_access(DType dtype);

/// Strides of `operand` read as if it had `shape` (NumPy broadcasting).
Dims broadcast_strides(const OperandSpec& operand, const Dims& shape);

namespace reference {
using UnaryDouble = double (*)(double);
using UnaryInt = int64_t (*)(int64_t);
using BinaryDouble = double (*)(double, double);
using BinaryInt = int64_t (*)(int64_t, int64_t);
using CompareDouble = bool (*)(double, double);
using CompareInt = bool (*)(int64_t, int64_t);
void unary(Kernel& kernel, UnaryDouble f, UnaryInt g);
void binary(Kernel& kernel, BinaryDouble f, BinaryInt g);
void compare(Kernel& kernel, CompareDouble f, CompareInt g);
}  // namespace reference

/// y = f(x). f is a lambda without captures, called with double or int64_t.
template <class F>
void reference_unary(Kernel& kernel, F) {
  reference::unary(
      kernel, [](double x) -> double { return F{}(x); },
      [](int64_t x) -> int64_t { return static_cast<int64_t>(F{}(x)); });
}
/// y = f(a, b) with broadcasting.
template <class F>
void reference_binary(Kernel& kernel, F) {
  reference::binary(
      kernel, [](double a, double b) -> double { return F{}(a, b); },
      [](int64_t a, int64_t b) -> int64_t { return static_cast<int64_t>(F{}(a, b)); });
}
/// y = f(a, b), a bool, with broadcasting.
template <class F>
void reference_compare(Kernel& kernel, F) {
  reference::compare(
      kernel, [](double a, double b) -> bool { return F{}(a, b); },
      [](int64_t a, int64_t b) -> bool { return F{}(a, b); });
}
/// y = cond ? a : b with broadcasting over all three.
void reference_select(Kernel& kernel);
/// y = x in the type of the output.
void reference_cast(Kernel& kernel);

}  // namespace fovea
