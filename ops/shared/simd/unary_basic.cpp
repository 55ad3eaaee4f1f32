// Unary ops that are a few instructions each, and find_unary itself.
#include "ops/shared/simd/tables.h"
#include "ops/shared/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/simd/unary_basic.cpp"
#include "hwy/foreach_target.h"
#include "ops/shared/simd/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {
namespace {

#define FOVEA_UNARY(Name, expression)     \
  struct Name {                           \
    template <class D, class V>           \
    static HWY_INLINE V apply(D d, V x) { \
      (void)d;                            \
      return expression;                  \
    }                                     \
  }

FOVEA_UNARY(Neg, hn::Neg(x));
FOVEA_UNARY(Sqrt, hn::Sqrt(x));
FOVEA_UNARY(Rsqrt, hn::Div(hn::Set(d, 1), hn::Sqrt(x)));
FOVEA_UNARY(Floor, hn::Floor(x));
FOVEA_UNARY(Ceil, hn::Ceil(x));
FOVEA_UNARY(Round, hn::Round(x));
FOVEA_UNARY(Abs, hn::Abs(x));
FOVEA_UNARY(Reciprocal, hn::Div(hn::Set(d, 1), x));
FOVEA_UNARY(Square, hn::Mul(x, x));
FOVEA_UNARY(Relu, hn::IfThenElse(hn::Le(x, hn::Zero(d)), hn::Zero(d), x));

struct Sign {
  template <class D, class V>
  static HWY_INLINE V apply(D d, V x) {
    using T = hn::TFromD<D>;
    const V zero = hn::Zero(d);
    const V below =
        hn::IfThenElse(hn::Lt(x, zero), hn::Set(d, T(-1)), hn::IfThenElse(hn::Eq(x, zero), zero, x));
    return hn::IfThenElse(hn::Gt(x, zero), hn::Set(d, T(1)), below);
  }
};

struct IsNan {
  template <class D, class V>
  static HWY_INLINE auto apply(D, V x, V) {
    return is_nan(x);
  }
};
struct IsInf {
  template <class D, class V>
  static HWY_INLINE auto apply(D d, V x, V) {
    return hn::Eq(hn::Abs(x), hn::Set(d, std::numeric_limits<hn::TFromD<D>>::infinity()));
  }
};
struct IsZero {
  template <class D, class V>
  static HWY_INLINE auto apply(D d, V x, V) {
    return hn::Eq(x, hn::Zero(d));
  }
};

void logical_not_bytes(const void* x, void* y, size_t n) {
  const auto* in = static_cast<const uint8_t*>(x);
  auto* out = static_cast<uint8_t*>(y);
  for (size_t i = 0; i < n; ++i) out[i] = in[i] == 0;
}

constexpr Row<Unary> kTable[] = {
    {"neg", {FOVEA_NUMERIC(unary, Neg)}},
    {"sqrt", {FOVEA_FLOATING(unary, Sqrt)}},
    {"rsqrt", {FOVEA_FLOATING(unary, Rsqrt)}},
    {"floor", {FOVEA_FLOATING(unary, Floor)}},
    {"ceil", {FOVEA_FLOATING(unary, Ceil)}},
    {"round", {FOVEA_FLOATING(unary, Round)}},
    {"abs", {FOVEA_NUMERIC(unary, Abs)}},
    {"sign", {FOVEA_NUMERIC(unary, Sign)}},
    {"reciprocal", {FOVEA_FLOATING(unary, Reciprocal)}},
    {"relu", {FOVEA_FLOATING(unary, Relu)}},
    {"square", {FOVEA_NUMERIC(unary, Square)}},
    {"is_nan", {FOVEA_FLOATING(test, IsNan)}},
    {"is_inf", {FOVEA_FLOATING(test, IsInf)}},
    {"logical_not", {FOVEA_NUMERIC(test, IsZero)}},
};

Unary find(std::string_view op, DType dtype) {
  if (op == "logical_not" && (dtype == DType::u8 || dtype == DType::boolean)) return &logical_not_bytes;
  return find_in(kTable, op, dtype);
}

}  // namespace
Unary unary_basic_for(std::string_view op, DType dtype) { return find(op, dtype); }
}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::simd {
HWY_EXPORT(unary_basic_for);

Unary find_unary(std::string_view op, DType dtype) {
  if (Unary f = HWY_DYNAMIC_DISPATCH(unary_basic_for)(op, dtype)) return f;
  return find_unary_math(op, dtype);
}
}  // namespace fovea::simd
#endif
