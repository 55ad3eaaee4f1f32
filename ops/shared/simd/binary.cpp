// Arithmetic of two operands, and products of a gradient with a derivative.
#include "ops/shared/simd/pointwise.h"
#include "ops/shared/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/simd/binary.cpp"
#include "hwy/foreach_target.h"
#include "ops/shared/simd/elementwise-inl.h"
#include "ops/shared/simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {
namespace {

#define FOVEA_BINARY(Name, expression)         \
  struct Name {                                \
    template <class D, class V>                \
    static HWY_INLINE V apply(D d, V a, V b) { \
      (void)d;                                 \
      return expression;                       \
    }                                          \
  }

FOVEA_BINARY(Add, hn::Add(a, b));
FOVEA_BINARY(Sub, hn::Sub(a, b));
FOVEA_BINARY(Mul, hn::Mul(a, b));
FOVEA_BINARY(Div, hn::Div(a, b));
FOVEA_BINARY(Maximum, maximum(d, a, b));
FOVEA_BINARY(Minimum, minimum(d, a, b));
FOVEA_BINARY(Pow, pow(d, a, b));

struct Mod {
  template <class T>
  static T one(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
      const T r = std::fmod(a, b);
      if (r == 0) return std::copysign(r, b);
      return (r < 0) != (b < 0) ? r + b : r;
    } else {
      if (b == 0 || b == -1) return 0;
      const T r = a % b;
      return r != 0 && (r < 0) != (b < 0) ? r + b : r;
    }
  }
  template <class D, class V>
  static HWY_INLINE V apply(D d, V a, V b) {
    using T = hn::TFromD<D>;
    alignas(64) T as[hn::MaxLanes(d)], bs[hn::MaxLanes(d)];
    hn::Store(a, d, as);
    hn::Store(b, d, bs);
    for (size_t i = 0; i < hn::Lanes(d); ++i) as[i] = one(as[i], bs[i]);
    return hn::Load(d, as);
  }
};

struct GeluBackward {  // g (Phi(x) + x phi(x))
  template <class D, class V>
  static HWY_INLINE V apply(D d, V x, V g) {
    const V density = exp(d, hn::Mul(hn::Mul(x, x), hn::Set(d, -0.5)));
    const V slope =
        hn::MulAdd(hn::Mul(x, constant(d, 0.39894228f, 0.39894228040143268)), density, normal_cdf(d, x));
    return hn::Mul(g, slope);
  }
};
struct GeluTanhBackward {  // t = tanh(u): 0.5 (1 + t) + 0.5 x (1 - t^2) u'
  template <class D, class V>
  static HWY_INLINE V apply(D d, V x, V g) {
    const V one = hn::Set(d, 1), half = hn::Set(d, 0.5);
    const V t = gelu_tanh_inner(d, x);
    const V du = hn::Mul(constant(d, 0.79788456f, 0.79788456080286536),
                         hn::MulAdd(hn::Mul(x, x), constant(d, 0.134145f, 0.134145), one));
    const V outer = hn::Mul(half, hn::Add(one, t));
    const V bend = hn::Mul(hn::Mul(half, x), hn::Mul(hn::NegMulAdd(t, t, one), du));
    return hn::Mul(g, hn::Add(outer, bend));
  }
};
struct SiluBackward {  // s = sigmoid(x): s (1 + x (1 - s))
  template <class D, class V>
  static HWY_INLINE V apply(D d, V x, V g) {
    const V one = hn::Set(d, 1), s = sigmoid(d, x);
    return hn::Mul(g, hn::Mul(s, hn::MulAdd(x, hn::Sub(one, s), one)));
  }
};
FOVEA_BINARY(TanhBackward, hn::Mul(b, hn::NegMulAdd(a, a, hn::Set(d, 1))));
FOVEA_BINARY(SigmoidBackward, hn::Mul(b, hn::Mul(a, hn::Sub(hn::Set(d, 1), a))));
// The derivative at 0 is 0; a NaN in x hands the gradient on, as "x <= 0" is false.
FOVEA_BINARY(ReluBackward, hn::IfThenElse(hn::Le(a, hn::Zero(d)), hn::Zero(d), b));

constexpr Row<Binary> kTable[] = {
    {"add", {FOVEA_NUMERIC(binary, Add)}},
    {"sub", {FOVEA_NUMERIC(binary, Sub)}},
    {"mul", {FOVEA_NUMERIC(binary, Mul)}},
    {"div", {FOVEA_FLOATING(binary, Div)}},
    {"maximum", {FOVEA_NUMERIC(binary, Maximum)}},
    {"minimum", {FOVEA_NUMERIC(binary, Minimum)}},
    {"pow", {FOVEA_FLOATING(binary, Pow)}},
    {"mod", {FOVEA_NUMERIC(binary, Mod)}},
    {"gelu_backward", {FOVEA_FLOATING(binary, GeluBackward)}},
    {"gelu_tanh_backward", {FOVEA_FLOATING(binary, GeluTanhBackward)}},
    {"silu_backward", {FOVEA_FLOATING(binary, SiluBackward)}},
    {"tanh_backward", {FOVEA_FLOATING(binary, TanhBackward)}},
    {"sigmoid_backward", {FOVEA_FLOATING(binary, SigmoidBackward)}},
    {"relu_backward", {FOVEA_FLOATING(binary, ReluBackward)}},
};

// Bytes of any value, 0 or 1 out.
template <class F>
void logical(const void* av, const void* bv, void* yv, size_t n, unsigned flags) {
  const auto* a = static_cast<const uint8_t*>(av);
  const auto* b = static_cast<const uint8_t*>(bv);
  auto* y = static_cast<uint8_t*>(yv);
  const size_t step_a = flags & kScalarA ? 0 : 1, step_b = flags & kScalarB ? 0 : 1;
  for (size_t i = 0; i < n; ++i) y[i] = F::one(a[i * step_a] != 0, b[i * step_b] != 0);
}
struct And {
  static bool one(bool a, bool b) { return a & b; }
};
struct Or {
  static bool one(bool a, bool b) { return a | b; }
};
struct Xor {
  static bool one(bool a, bool b) { return a ^ b; }
};

}  // namespace

Binary binary_for(std::string_view op, DType dtype) {
  if (dtype == DType::u8 || dtype == DType::boolean) {
    if (op == "logical_and") return &logical<And>;
    if (op == "logical_or") return &logical<Or>;
    if (op == "logical_xor") return &logical<Xor>;
    return nullptr;
  }
  return find_in(kTable, op, dtype);
}

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::simd {
HWY_EXPORT(binary_for);
Binary find_binary(std::string_view op, DType dtype) { return HWY_DYNAMIC_DISPATCH(binary_for)(op, dtype); }
}  // namespace fovea::simd
#endif
