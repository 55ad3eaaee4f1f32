// The loops behind pointwise.h. A remainder is padded in a buffer and run through the same code as whole
// vectors, so an element's result never depends on its position.
#if defined(FOVEA_OPS_SHARED_SIMD_ELEMENTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_OPS_SHARED_SIMD_ELEMENTWISE_INL_H_
#undef FOVEA_OPS_SHARED_SIMD_ELEMENTWISE_INL_H_
#else
#define FOVEA_OPS_SHARED_SIMD_ELEMENTWISE_INL_H_
#endif

#include <algorithm>
#include <string_view>

#include "ops/shared/simd/pointwise.h"
#include "ops/shared/simd/vec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {

inline constexpr size_t kTile = 512;  // floats; half types are widened tile by tile

template <class T>
HWY_INLINE size_t lanes_of() {
  return hn::Lanes(hn::ScalableTag<T>());
}
template <class T>
inline constexpr size_t kMaxLanes = HWY_MAX_BYTES / sizeof(T);

template <class H>
HWY_NOINLINE void widen(const H* x, float* y, size_t n) {
  const hn::ScalableTag<float> d;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) hn::StoreU(load(d, x + i), d, y + i);
  if (i < n) hn::StoreU(load_tail(d, x + i, n - i), d, y + i);  // y has room for whole vectors
}
template <class H>
HWY_NOINLINE void narrow(const float* x, H* y, size_t n) {
  const hn::ScalableTag<float> d;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) store(hn::LoadU(d, x + i), d, y + i);
  if (i < n) store_tail(hn::LoadU(d, x + i), d, y + i, n - i);
}

// ---- unary, same dtype out

template <class Op, class T>
HWY_NOINLINE void unary_vectors(const T* x, T* y, size_t n) {
  const hn::ScalableTag<T> d;
  for (size_t i = 0; i < n; i += hn::Lanes(d)) hn::StoreU(Op::apply(d, hn::LoadU(d, x + i)), d, y + i);
}

template <class Op, class T>
void unary(const void* xv, void* yv, size_t n) {
  if constexpr (std::is_arithmetic_v<T>) {
    const T* x = static_cast<const T*>(xv);
    T* y = static_cast<T*>(yv);
    const size_t lanes = lanes_of<T>(), whole = n - n % lanes;
    unary_vectors<Op, T>(x, y, whole);
    if (whole == n) return;
    alignas(64) T rest[kMaxLanes<T>] = {};
    std::memcpy(rest, x + whole, (n - whole) * sizeof(T));
    unary_vectors<Op, T>(rest, rest, lanes);
    std::memcpy(y + whole, rest, (n - whole) * sizeof(T));
  } else {
    const T* x = static_cast<const T*>(xv);
    T* y = static_cast<T*>(yv);
    alignas(64) float tile[kTile];
    for (size_t i = 0; i < n; i += kTile) {
      const size_t m = std::min(kTile, n - i), lanes = lanes_of<float>();
      widen(x + i, tile, m);
      unary_vectors<Op, float>(tile, tile, (m + lanes - 1) / lanes * lanes);
      narrow(tile, y + i, m);
    }
  }
}

// ---- unary and binary predicates: bytes out

template <class Op, class T>
HWY_NOINLINE void test_vectors(const T* a, size_t step_a, const T* b, size_t step_b, uint8_t* y, size_t n) {
  const hn::ScalableTag<T> d;
  for (size_t i = 0; i < n; i += hn::Lanes(d), a += step_a, b += step_b)
    store_mask(d, Op::apply(d, hn::LoadU(d, a), hn::LoadU(d, b)), y + i);
}

// ---- binary

template <class Op, class T>
HWY_NOINLINE void binary_vectors(const T* a, size_t step_a, const T* b, size_t step_b, T* y, size_t n) {
  const hn::ScalableTag<T> d;
  for (size_t i = 0; i < n; i += hn::Lanes(d), a += step_a, b += step_b)
    hn::StoreU(Op::apply(d, hn::LoadU(d, a), hn::LoadU(d, b)), d, y + i);
}

// Runs `loop` over float, double or integer operands; a scalar operand becomes one vector that is read again
// and again.
template <class T, class Out>
using Loop2 = void (*)(const T*, size_t, const T*, size_t, Out*, size_t);

template <class T, class Out>
HWY_NOINLINE void run2(Loop2<T, Out> loop, const void* av, const void* bv, void* yv, size_t n,
                       unsigned flags) {
  if (n == 0) return;
  const T* a = static_cast<const T*>(av);
  const T* b = static_cast<const T*>(bv);
  Out* y = static_cast<Out*>(yv);
  const size_t lanes = lanes_of<T>(), whole = n - n % lanes;
  alignas(64) T one_a[kMaxLanes<T>], one_b[kMaxLanes<T>];
  const bool scalar_a = flags & kScalarA, scalar_b = flags & kScalarB;
  if (scalar_a) std::fill_n(one_a, lanes, *a);
  if (scalar_b) std::fill_n(one_b, lanes, *b);
  loop(scalar_a ? one_a : a, scalar_a ? 0 : lanes, scalar_b ? one_b : b, scalar_b ? 0 : lanes, y, whole);
  if (whole == n) return;
  const size_t rest = n - whole;
  if (!scalar_a) {
    std::fill_n(one_a, lanes, T(1));
    std::memcpy(one_a, a + whole, rest * sizeof(T));
  }
  if (!scalar_b) {
    std::fill_n(one_b, lanes, T(1));
    std::memcpy(one_b, b + whole, rest * sizeof(T));
  }
  alignas(64) Out out[kMaxLanes<T>];
  loop(one_a, 0, one_b, 0, out, lanes);
  std::memcpy(y + whole, out, rest * sizeof(Out));
}

// The same for half types: widen a tile of each operand, run, narrow when the result is a half type too.
template <class H, class Out>
HWY_NOINLINE void run2_half(Loop2<float, std::conditional_t<std::is_same_v<Out, H>, float, Out>> loop,
                            const void* av, const void* bv, void* yv, size_t n, unsigned flags) {
  if (n == 0) return;
  const H* a = static_cast<const H*>(av);
  const H* b = static_cast<const H*>(bv);
  Out* y = static_cast<Out*>(yv);
  alignas(64) float ta[kTile], tb[kTile];
  const bool scalar_a = flags & kScalarA, scalar_b = flags & kScalarB;
  const size_t lanes = lanes_of<float>();
  if (scalar_a) std::fill_n(ta, lanes, static_cast<float>(*a));
  if (scalar_b) std::fill_n(tb, lanes, static_cast<float>(*b));
  for (size_t i = 0; i < n; i += kTile) {
    const size_t m = std::min(kTile, n - i), padded = (m + lanes - 1) / lanes * lanes;
    if (!scalar_a) widen(a + i, ta, m);
    if (!scalar_b) widen(b + i, tb, m);
    if constexpr (std::is_same_v<Out, H>) {
      alignas(64) float ty[kTile];
      loop(ta, scalar_a ? 0 : lanes, tb, scalar_b ? 0 : lanes, ty, padded);
      narrow(ty, y + i, m);
    } else {
      alignas(64) Out ty[kTile];
      loop(ta, scalar_a ? 0 : lanes, tb, scalar_b ? 0 : lanes, ty, padded);
      std::memcpy(y + i, ty, m * sizeof(Out));
    }
  }
}

template <class Op, class T>
void binary(const void* a, const void* b, void* y, size_t n, unsigned flags) {
  if constexpr (std::is_arithmetic_v<T>) {
    run2<T, T>(&binary_vectors<Op, T>, a, b, y, n, flags);
  } else {
    run2_half<T, T>(&binary_vectors<Op, float>, a, b, y, n, flags);
  }
}
template <class Op, class T>
void compare(const void* a, const void* b, void* y, size_t n, unsigned flags) {
  if constexpr (std::is_arithmetic_v<T>) {
    run2<T, uint8_t>(&test_vectors<Op, T>, a, b, y, n, flags);
  } else {
    run2_half<T, uint8_t>(&test_vectors<Op, float>, a, b, y, n, flags);
  }
}
// A predicate of one operand is a comparison of that operand with itself.
template <class Op, class T>
void test(const void* x, void* y, size_t n) {
  compare<Op, T>(x, x, y, n, 0);
}

// ---- tables

/// One op's functions by dtype, in the order f32, f64, f16, bf16, i32, i64.
template <class F>
struct Row {
  std::string_view op;
  F by_dtype[6];
};

template <class F, size_t N>
F find_in(const Row<F> (&table)[N], std::string_view op, DType dtype) {
  int column;
  switch (dtype) {
    case DType::f32:
      column = 0;
      break;
    case DType::f64:
      column = 1;
      break;
    case DType::f16:
      column = 2;
      break;
    case DType::bf16:
      column = 3;
      break;
    case DType::i32:
      column = 4;
      break;
    case DType::i64:
      column = 5;
      break;
    default:
      return nullptr;
  }
  for (const auto& row : table)
    if (row.op == op) return row.by_dtype[column];
  return nullptr;
}

#define FOVEA_FLOATING(f, Op) &f<Op, float>, &f<Op, double>, &f<Op, f16_t>, &f<Op, bf16_t>
#define FOVEA_NUMERIC(f, Op) FOVEA_FLOATING(f, Op), &f<Op, int32_t>, &f<Op, int64_t>

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
