#include "framework/backend/cpu/onednn/convert.h"

#include <bit>
#include <cstring>

namespace fovea::onednn {
namespace {

// Without calls, so that the compiler can use vectors.
inline float widen(bf16_t x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }
inline float widen(f16_t x) { return static_cast<float>(x); }
inline float widen(float x) { return x; }
inline double widen(double x) { return x; }

inline void narrow(float x, bf16_t& to) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1)) >> 16;
  const uint32_t nan = (bits >> 16) | 0x40u;
  to.bits = static_cast<uint16_t>((bits & 0x7FFFFFFFu) > 0x7F800000u ? nan : rounded);
}
inline void narrow(float x, f16_t& to) { to = f16_t(x); }
inline void narrow(float x, double& to) { to = x; }
inline void narrow(double x, float& to) { to = static_cast<float>(x); }
// Through f32, rounded twice: half types that a computation in f64 gives on.
inline void narrow(double x, bf16_t& to) { narrow(static_cast<float>(x), to); }
inline void narrow(double x, f16_t& to) { narrow(static_cast<float>(x), to); }

template <class From, class To>
void load(const void* from, int64_t stride, To* to, int64_t n) {
  const From* x = static_cast<const From*>(from);
  if (stride == 1) {
    if constexpr (std::is_same_v<From, To>) {
      if (n > 0) std::memcpy(to, x, static_cast<size_t>(n) * sizeof(To));
    } else {
#pragma GCC ivdep
      for (int64_t i = 0; i < n; ++i) to[i] = static_cast<To>(widen(x[i]));
    }
    return;
  }
  for (int64_t i = 0; i < n; ++i) to[i] = static_cast<To>(widen(x[i * stride]));
}

template <class To, class From>
void store(const From* from, void* to, int64_t n) {
  To* y = static_cast<To*>(to);
  if constexpr (std::is_same_v<From, To>) {
    if (n > 0) std::memcpy(y, from, static_cast<size_t>(n) * sizeof(To));
  } else {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) narrow(from[i], y[i]);
  }
}

template <class To>
void load_any(DType t, const void* from, int64_t stride, To* to, int64_t n) {
  if (t == DType::bf16) return load<bf16_t>(from, stride, to, n);
  if (t == DType::f16) return load<f16_t>(from, stride, to, n);
  if (t == DType::f64) return load<double>(from, stride, to, n);
  load<float>(from, stride, to, n);
}

template <class From>
void store_any(DType t, const From* from, void* to, int64_t n) {
  if (t == DType::bf16) return store<bf16_t>(from, to, n);
  if (t == DType::f16) return store<f16_t>(from, to, n);
  if (t == DType::f64) return store<double>(from, to, n);
  store<float>(from, to, n);
}

}  // namespace

void load_row(DType t, const void* from, int64_t stride, float* to, int64_t n) {
  load_any(t, from, stride, to, n);
}
void load_row(DType t, const void* from, int64_t stride, double* to, int64_t n) {
  load_any(t, from, stride, to, n);
}
void store_row(DType t, const float* from, void* to, int64_t n) { store_any(t, from, to, n); }
void store_row(DType t, const double* from, void* to, int64_t n) { store_any(t, from, to, n); }

}  // namespace fovea::onednn
