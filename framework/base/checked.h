// Arithmetic on sizes that reports overflow as a typed error. Every product of dims, byte count and offset
// goes through here, in loaders and allocators alike.
#pragma once

#include <cstdint>

#include "framework/base/error.h"

namespace fovea {

/// a * b, or InvalidArgument naming `what` when it does not fit 63 bits.
inline int64_t checked_mul(int64_t a, int64_t b, const char* what = "a size") {
  int64_t out;
  if (__builtin_mul_overflow(a, b, &out))
    invalid(std::string(what) + " overflows 64 bits: " + std::to_string(a) + " * " + std::to_string(b));
  return out;
}

/// a + b, or InvalidArgument naming `what` when it does not fit 63 bits.
inline int64_t checked_add(int64_t a, int64_t b, const char* what = "a size") {
  int64_t out;
  if (__builtin_add_overflow(a, b, &out))
    invalid(std::string(what) + " overflows 64 bits: " + std::to_string(a) + " + " + std::to_string(b));
  return out;
}

/// `bytes` rounded up to a multiple of `align` (a power of two).
inline int64_t round_up(int64_t bytes, int64_t align) { return checked_add(bytes, align - 1) & ~(align - 1); }

}  // namespace fovea
