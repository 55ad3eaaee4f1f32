// Unary ops built on the elementary functions.
#include "ops/shared/simd/tables.h"
#include "ops/shared/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/simd/unary_math.cpp"
#include "hwy/foreach_target.h"
#include "ops/shared/simd/elementwise-inl.h"
#include "ops/shared/simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {
namespace {

#define FOVEA_UNARY(Name, expression)     \
  struct Name {                           \
    template <class D, class V>           \
    static HWY_INLINE V apply(D d, V x) { \
      return expression;                  \
    }                                     \
  }

FOVEA_UNARY(Exp, exp(d, x));
FOVEA_UNARY(Log, log(d, x));
FOVEA_UNARY(Sin, sin(d, x));
FOVEA_UNARY(Cos, cos(d, x));
FOVEA_UNARY(Tan, hn::Div(sin(d, x), cos(d, x)));
FOVEA_UNARY(Tanh, tanh(d, x));
FOVEA_UNARY(Erf, erf(d, x));
FOVEA_UNARY(Sigmoid, sigmoid(d, x));
FOVEA_UNARY(Gelu, hn::Mul(x, normal_cdf(d, x)));
FOVEA_UNARY(GeluTanh, hn::Mul(hn::Mul(hn::Set(d, 0.5), x), hn::Add(hn::Set(d, 1), gelu_tanh_inner(d, x))));
FOVEA_UNARY(Silu, hn::Div(x, hn::Add(hn::Set(d, 1), exp(d, hn::Neg(x)))));
FOVEA_UNARY(Softplus, softplus(d, x));
FOVEA_UNARY(Log1p, log1p(d, x));
FOVEA_UNARY(Expm1, expm1(d, x));

constexpr Row<Unary> kTable[] = {
    {"exp", {FOVEA_FLOATING(unary, Exp)}},     {"log", {FOVEA_FLOATING(unary, Log)}},
    {"sin", {FOVEA_FLOATING(unary, Sin)}},     {"cos", {FOVEA_FLOATING(unary, Cos)}},
    {"tan", {FOVEA_FLOATING(unary, Tan)}},     {"tanh", {FOVEA_FLOATING(unary, Tanh)}},
    {"erf", {FOVEA_FLOATING(unary, Erf)}},     {"sigmoid", {FOVEA_FLOATING(unary, Sigmoid)}},
    {"gelu", {FOVEA_FLOATING(unary, Gelu)}},   {"gelu_tanh", {FOVEA_FLOATING(unary, GeluTanh)}},
    {"silu", {FOVEA_FLOATING(unary, Silu)}},   {"softplus", {FOVEA_FLOATING(unary, Softplus)}},
    {"log1p", {FOVEA_FLOATING(unary, Log1p)}}, {"expm1", {FOVEA_FLOATING(unary, Expm1)}},
};

}  // namespace
Unary unary_math_for(std::string_view op, DType dtype) { return find_in(kTable, op, dtype); }
}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::simd {
HWY_EXPORT(unary_math_for);
Unary find_unary_math(std::string_view op, DType dtype) {
  return HWY_DYNAMIC_DISPATCH(unary_math_for)(op, dtype);
}
}  // namespace fovea::simd
#endif
