// Loops over vectors, compiled once for each instruction set.
#if defined(FOVEA_OPS_SHARED_TILE_LOOPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_OPS_SHARED_TILE_LOOPS_INL_H_
#undef FOVEA_OPS_SHARED_TILE_LOOPS_INL_H_
#else
#define FOVEA_OPS_SHARED_TILE_LOOPS_INL_H_
#endif

#include "ops/shared/simd/math-inl.h"
#include "ops/shared/simd/vec-inl.h"
#include "ops/shared/tile/machine_loops.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::tiles::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace vec = fovea::simd::HWY_NAMESPACE;

template <class T>
HWY_INLINE const T* row_of(const char* base, int64_t r, int64_t row) {
  return reinterpret_cast<const T*>(base + r * row);
}

struct Cheap {
  static constexpr bool kCheap = true;
};
struct Costly {
  static constexpr bool kCheap = false;
};

// Loops of cheap instructions take four vectors a turn (n is a multiple of 64 bytes, not of four vectors).
template <class F, class T>
HWY_NOINLINE void loop1(const Loop& l) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d)), sa = l.steps & 1 ? lanes : 0;
  for (int64_t r = 0; r < l.rows; ++r) {
    const T* a = row_of<T>(l.a, r, l.a_row);
    T* y = reinterpret_cast<T*>(l.y + r * l.y_row);
    int64_t i = 0;
    if constexpr (F::kCheap) {
      for (; i + 4 * lanes <= l.n; i += 4 * lanes, a += 4 * sa) {
        const auto y0 = F::apply(d, hn::LoadU(d, a)), y1 = F::apply(d, hn::LoadU(d, a + sa));
        const auto y2 = F::apply(d, hn::LoadU(d, a + 2 * sa)), y3 = F::apply(d, hn::LoadU(d, a + 3 * sa));
        hn::StoreU(y0, d, y + i);
        hn::StoreU(y1, d, y + i + lanes);
        hn::StoreU(y2, d, y + i + 2 * lanes);
        hn::StoreU(y3, d, y + i + 3 * lanes);
      }
    }
    for (; i < l.n; i += lanes, a += sa) hn::StoreU(F::apply(d, hn::LoadU(d, a)), d, y + i);
  }
}

template <class F, class T>
HWY_NOINLINE void loop2(const Loop& l) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t sa = l.steps & 1 ? lanes : 0, sb = l.steps & 2 ? lanes : 0;
  for (int64_t r = 0; r < l.rows; ++r) {
    const T *a = row_of<T>(l.a, r, l.a_row), *b = row_of<T>(l.b, r, l.b_row);
    T* y = reinterpret_cast<T*>(l.y + r * l.y_row);
    int64_t i = 0;
    if constexpr (F::kCheap) {
      for (; i + 4 * lanes <= l.n; i += 4 * lanes, a += 4 * sa, b += 4 * sb) {
        const auto y0 = F::apply(d, hn::LoadU(d, a), hn::LoadU(d, b));
        const auto y1 = F::apply(d, hn::LoadU(d, a + sa), hn::LoadU(d, b + sb));
        const auto y2 = F::apply(d, hn::LoadU(d, a + 2 * sa), hn::LoadU(d, b + 2 * sb));
        const auto y3 = F::apply(d, hn::LoadU(d, a + 3 * sa), hn::LoadU(d, b + 3 * sb));
        hn::StoreU(y0, d, y + i);
        hn::StoreU(y1, d, y + i + lanes);
        hn::StoreU(y2, d, y + i + 2 * lanes);
        hn::StoreU(y3, d, y + i + 3 * lanes);
      }
    }
    for (; i < l.n; i += lanes, a += sa, b += sb)
      hn::StoreU(F::apply(d, hn::LoadU(d, a), hn::LoadU(d, b)), d, y + i);
  }
}

template <class F, class T>
HWY_NOINLINE void loop3(const Loop& l) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t sa = l.steps & 1 ? lanes : 0, sb = l.steps & 2 ? lanes : 0, sc = l.steps & 4 ? lanes : 0;
  for (int64_t r = 0; r < l.rows; ++r) {
    const T *a = row_of<T>(l.a, r, l.a_row), *b = row_of<T>(l.b, r, l.b_row), *c = row_of<T>(l.c, r, l.c_row);
    T* y = reinterpret_cast<T*>(l.y + r * l.y_row);
    for (int64_t i = 0; i < l.n; i += lanes, a += sa, b += sb, c += sc)
      hn::StoreU(F::apply(d, hn::LoadU(d, a), hn::LoadU(d, b), hn::LoadU(d, c)), d, y + i);
  }
}

// FOVEA_TILE_COST is Cheap or Costly, as the including file says.
#define FOVEA_TILE_1(Name, ...)           \
  struct Name : FOVEA_TILE_COST {         \
    template <class D, class V>           \
    static HWY_INLINE V apply(D d, V x) { \
      (void)d;                            \
      return __VA_ARGS__;                 \
    }                                     \
  }
#define FOVEA_TILE_2(Name, ...)                \
  struct Name : FOVEA_TILE_COST {              \
    template <class D, class V>                \
    static HWY_INLINE V apply(D d, V a, V b) { \
      (void)d;                                 \
      return __VA_ARGS__;                      \
    }                                          \
  }
#define FOVEA_TILE_3(Name, ...)                     \
  struct Name : FOVEA_TILE_COST {                   \
    template <class D, class V>                     \
    static HWY_INLINE V apply(D d, V a, V b, V c) { \
      (void)d;                                      \
      return __VA_ARGS__;                           \
    }                                               \
  }

struct Row {
  Op op;
  LoopFn f32, f64;
};
template <size_t N>
LoopFn find_row(const Row (&table)[N], Op op, DType compute) {
  for (const Row& row : table)
    if (row.op == op) return compute == DType::f64 ? row.f64 : row.f32;
  return nullptr;
}

}  // namespace fovea::tiles::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
