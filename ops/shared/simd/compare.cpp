// Comparisons and select.
#include "ops/shared/simd/pointwise.h"
#include "ops/shared/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/simd/compare.cpp"
#include "hwy/foreach_target.h"
#include "ops/shared/simd/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {
namespace {

// Highway 1.0.3 has no Le and Ge for integers.
#define FOVEA_COMPARE(Name, floating, integer, sign) \
  struct Name {                                      \
    template <class D, class V>                      \
    static HWY_INLINE auto apply(D, V a, V b) {      \
      if constexpr (hwy::IsFloat<hn::TFromD<D>>()) { \
        return floating;                             \
      } else {                                       \
        return integer;                              \
      }                                              \
    }                                                \
    template <class T>                               \
    static bool one(T a, T b) {                      \
      return a sign b;                               \
    }                                                \
  }
FOVEA_COMPARE(Lt, hn::Lt(a, b), hn::Lt(a, b), <);
FOVEA_COMPARE(Le, hn::Le(a, b), hn::Not(hn::Lt(b, a)), <=);
FOVEA_COMPARE(Eq, hn::Eq(a, b), hn::Eq(a, b), ==);
FOVEA_COMPARE(Ne, hn::Not(hn::Eq(a, b)), hn::Not(hn::Eq(a, b)), !=);  // true for NaN
FOVEA_COMPARE(Gt, hn::Gt(a, b), hn::Gt(a, b), >);
FOVEA_COMPARE(Ge, hn::Ge(a, b), hn::Not(hn::Lt(a, b)), >=);

constexpr Row<Binary> kTable[] = {
    {"less", {FOVEA_NUMERIC(compare, Lt)}},    {"less_equal", {FOVEA_NUMERIC(compare, Le)}},
    {"equal", {FOVEA_NUMERIC(compare, Eq)}},   {"not_equal", {FOVEA_NUMERIC(compare, Ne)}},
    {"greater", {FOVEA_NUMERIC(compare, Gt)}}, {"greater_equal", {FOVEA_NUMERIC(compare, Ge)}},
};

template <class Op, class T>
void compare_small(const void* av, const void* bv, void* yv, size_t n, unsigned flags) {
  const auto* a = static_cast<const T*>(av);
  const auto* b = static_cast<const T*>(bv);
  auto* y = static_cast<uint8_t*>(yv);
  const size_t step_a = flags & kScalarA ? 0 : 1, step_b = flags & kScalarB ? 0 : 1;
  for (size_t i = 0; i < n; ++i) y[i] = Op::one(a[i * step_a], b[i * step_b]);
}

template <class T>
Binary small_for(std::string_view op) {
  if (op == "less") return &compare_small<Lt, T>;
  if (op == "less_equal") return &compare_small<Le, T>;
  if (op == "equal") return &compare_small<Eq, T>;
  if (op == "not_equal") return &compare_small<Ne, T>;
  if (op == "greater") return &compare_small<Gt, T>;
  if (op == "greater_equal") return &compare_small<Ge, T>;
  return nullptr;
}

// Select moves bits, so the element size alone matters.
template <class T>
void select_bits(const void* cv, const void* av, const void* bv, void* yv, size_t n, unsigned flags) {
  const auto* c = static_cast<const uint8_t*>(cv);
  const auto* a = static_cast<const T*>(av);
  const auto* b = static_cast<const T*>(bv);
  auto* y = static_cast<T*>(yv);
  if (n != 0 && (flags & kScalarCond)) {
    const T* from = *c != 0 ? a : b;
    const bool one = flags & (*c != 0 ? kScalarA : kScalarB);
    if (one) {
      std::fill_n(y, n, *from);
    } else if (from != y) {
      std::memmove(y, from, n * sizeof(T));
    }
    return;
  }
  const size_t step_a = flags & kScalarA ? 0 : 1, step_b = flags & kScalarB ? 0 : 1;
  size_t i = 0;
  if constexpr (sizeof(T) >= 4) {
    const hn::ScalableTag<T> d;
    const size_t lanes = hn::Lanes(d);
    for (; i + lanes <= n; i += lanes) {
      const auto va = step_a ? hn::LoadU(d, a + i) : hn::Set(d, *a);
      const auto vb = step_b ? hn::LoadU(d, b + i) : hn::Set(d, *b);
      hn::StoreU(hn::IfThenElse(load_mask(d, c + i), va, vb), d, y + i);
    }
  }
  for (; i < n; ++i) {
    const T va = a[i * step_a], vb = b[i * step_b];
    y[i] = c[i] != 0 ? va : vb;
  }
}

}  // namespace

Binary compare_for(std::string_view op, DType dtype) {
  switch (dtype) {
    case DType::i8:
      return small_for<int8_t>(op);
    case DType::i16:
      return small_for<int16_t>(op);
    case DType::u8:
    case DType::boolean:
      return small_for<uint8_t>(op);
    default:
      return find_in(kTable, op, dtype);
  }
}

Select select_for(DType dtype) {
  switch (size_of(dtype)) {
    case 1:
      return &select_bits<uint8_t>;
    case 2:
      return &select_bits<uint16_t>;
    case 4:
      return &select_bits<uint32_t>;
    default:
      return &select_bits<uint64_t>;
  }
}

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::simd {
HWY_EXPORT(compare_for);
HWY_EXPORT(select_for);
Binary find_compare(std::string_view op, DType dtype) { return HWY_DYNAMIC_DISPATCH(compare_for)(op, dtype); }
Select find_select(DType dtype) { return HWY_DYNAMIC_DISPATCH(select_for)(dtype); }
}  // namespace fovea::simd
#endif
