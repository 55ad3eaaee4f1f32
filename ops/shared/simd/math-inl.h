// Vector elementary functions for float and double. Compiled once for each instruction set.
// Largest errors found by tests/unit/simd_math_test.cpp, in units of the last place (f32 | f64):
//   exp 1 | 1, log 0.9 | 0.8, expm1 1.6 | 2, log1p 1.1 | 1.1, tanh 2.3 | 2.6, erf 2.5 | 2, sigmoid 1.9 | 2.2,
//   sin and cos 2.1 | 2.4, tan 2.8 | 2.7, softplus 1.7 | 1.7, gelu (x > 0) 2 | 1.6, pow 0.51 (f64: the C
//   library).
// The approximating polynomials are weighted near-minimax fits of our own.
#if defined(FOVEA_OPS_SHARED_SIMD_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_OPS_SHARED_SIMD_MATH_INL_H_
#undef FOVEA_OPS_SHARED_SIMD_MATH_INL_H_
#else
#define FOVEA_OPS_SHARED_SIMD_MATH_INL_H_
#endif

#include <cmath>
#include <limits>

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "ops/shared/simd/vec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {

template <class D>
inline constexpr bool kIsFloat = sizeof(hn::TFromD<D>) == 4;

/// The constant for this lane type: `f` for float, `g` for double.
template <class D>
HWY_INLINE hn::Vec<D> constant(D d, float f, double g) {
  if constexpr (kIsFloat<D>) {
    return hn::Set(d, f);
  } else {
    return hn::Set(d, g);
  }
}

/// c[I] + c[I + 1] x + ... by Horner's rule. A recursion, since the compiler leaves a loop rolled at -O2.
template <size_t I = 0, class D, size_t N>
HWY_INLINE hn::Vec<D> polynomial(D d, hn::Vec<D> x, const hn::TFromD<D> (&c)[N]) {
  if constexpr (I + 1 == N) {
    return hn::Set(d, c[I]);
  } else {
    return hn::MulAdd(polynomial<I + 1>(d, x, c), x, hn::Set(d, c[I]));
  }
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V nan_of(D d) {
  return hn::Set(d, std::numeric_limits<hn::TFromD<D>>::quiet_NaN());
}
template <class D, class V = hn::Vec<D>>
HWY_INLINE V inf_of(D d) {
  return hn::Set(d, std::numeric_limits<hn::TFromD<D>>::infinity());
}

/// x = n ln 2 + r with |r| <= ln 2 / 2; also exp(r) - 1. `shifted` holds n + kMore in the low bits of its
/// mantissa; kMore is even, or halves would be rounded the other way.
template <class D>
struct ExpParts {
  hn::Vec<D> n, shifted, expm1_r;
};

template <class D, int kMore = 0, class V = hn::Vec<D>>
HWY_INLINE ExpParts<D> exp_parts(D d, V x) {
  // Adding 1.5 * 2^(mantissa bits) rounds to an integer and leaves it in the low bits.
  const V magic = constant(d, 12582912.0f + kMore, 6755399441055744.0 + kMore);
  const V shifted = hn::MulAdd(x, constant(d, 1.44269504f, 1.4426950408889634), magic);
  const V n = hn::Sub(shifted, magic);
  V r = hn::NegMulAdd(n, constant(d, 0.693145751953125f, 6.93147180369123816490e-01), x);
  r = hn::NegMulAdd(n, constant(d, 1.42860677e-6f, 1.90821492927058770002e-10), r);
  V q;
  if constexpr (kIsFloat<D>) {
    q = polynomial(d, r,
                   {0.5000000098932138772f, 0.1666651880127453423f, 0.04166619319041462893f,
                    0.008368913002304386558f, 0.001395129954146243713f});
  } else {
    q = polynomial(
        d, r,
        {0.5000000000000012164, 0.1666666666666669132, 0.0416666666665187655, 0.008333333333311653689,
         0.001388888894639897791, 0.0001984126990852926667, 0.00002480149038023970646, 2.75572236889797755e-6,
         2.763118069668869227e-7, 2.51156515327756488e-8});
  }
  return {n, shifted, hn::MulAdd(hn::Mul(r, r), q, r)};
}

/// 2^n from the low bits of `shifted`, for n in the range of normal exponents.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V pow2_normal(D d, V shifted) {
  const hn::RebindToUnsigned<D> du;
  constexpr int kBits = kIsFloat<D> ? 23 : 52;
  const auto bias = hn::Set(du, kIsFloat<D> ? 127 : 1023);
  return hn::BitCast(d, hn::ShiftLeft<kBits>(hn::Add(hn::BitCast(du, shifted), bias)));
}

/// v * 2^n with one rounding, also where the result is subnormal or overflows.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V scale_by_pow2(D d, V v, V n) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (sizeof(V) == 64) {
    if constexpr (kIsFloat<D>) {
      return V{_mm512_scalef_ps(v.raw, n.raw)};
    } else {
      return V{_mm512_scalef_pd(v.raw, n.raw)};
    }
  }
#endif
  const V magic = constant(d, 12582912.0f, 6755399441055744.0);
  const V half = hn::Sub(hn::MulAdd(n, hn::Set(d, 0.5), magic), magic);
  const V first = pow2_normal(d, hn::Add(half, magic));
  const V second = pow2_normal(d, hn::Add(hn::Sub(n, half), magic));
  return hn::Mul(hn::Mul(v, first), second);
}

/// e^x; 0 for -inf, inf above the range, NaN for NaN; subnormal results are kept.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp(D d, V x) {
  // The constants stand first: on x86 Min and Max then hand a NaN in x through.
  x = hn::Max(constant(d, -104.0f, -746.0), hn::Min(constant(d, 89.0f, 710.0), x));
  const auto parts = exp_parts(d, x);
  return scale_by_pow2(d, hn::Add(parts.expm1_r, hn::Set(d, 1)), parts.n);
}

/// e^x - 1 without cancellation near 0.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V expm1(D d, V x) {
  const V big = constant(d, 60.0f, 600.0);
  const V clamped = hn::Max(constant(d, -30.0f, -60.0), hn::Min(constant(d, 89.0f, 710.0), x));
  const auto parts = exp_parts(d, clamped);
  // 2^n (1 + p) - 1 = 2^n p + (2^n - 1)
  const V two_n = pow2_normal(d, parts.shifted);
  const V y = hn::MulAdd(two_n, parts.expm1_r, hn::Sub(two_n, hn::Set(d, 1)));
  const V large = scale_by_pow2(d, hn::Add(parts.expm1_r, hn::Set(d, 1)), parts.n);
  return hn::CopySign(hn::IfThenElse(hn::Gt(clamped, big), large, y), x);
}

/// Natural logarithm; -inf at 0, NaN below, subnormal arguments are exact.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V log(D d, V x) {
  using T = hn::TFromD<D>;
  const hn::RebindToUnsigned<D> du;
  using TU = hn::TFromD<decltype(du)>;
  constexpr int kBits = kIsFloat<D> ? 23 : 52;
  constexpr TU kSqrtHalf = kIsFloat<D> ? TU(0x3F3504F3u) : TU(0x3FE6A09E667F3BCDull);
  constexpr TU kBias = kIsFloat<D> ? 127 : 1023;
  const V zero = hn::Zero(d);
  const V inf = inf_of(d);

  const auto subnormal = hn::Lt(x, hn::Set(d, std::numeric_limits<T>::min()));
  const V scale = hn::IfThenElse(subnormal, constant(d, 33554432.0f, 18014398509481984.0), hn::Set(d, 1));
  // x = 2^e m with m in [sqrt(1/2), sqrt(2))
  const auto bits = hn::Add(hn::BitCast(du, hn::Mul(x, scale)), hn::Set(du, (kBias << kBits) - kSqrtHalf));
  const auto biased = hn::Or(hn::ShiftRight<kBits>(bits), hn::Set(du, TU(kBias + kBits) << kBits));
  V e = hn::Sub(hn::BitCast(d, biased), constant(d, 8388608.0f + 127, 4503599627370496.0 + 1023));
  e = hn::Sub(e, hn::IfThenElseZero(subnormal, constant(d, 25, 54)));
  const auto mantissa = hn::And(bits, hn::Set(du, (TU(1) << kBits) - 1));
  const V f = hn::Sub(hn::BitCast(d, hn::Add(mantissa, hn::Set(du, kSqrtHalf))), hn::Set(d, 1));

  const V ln2_hi = constant(d, 0.693145751953125f, 6.93147180369123816490e-01);
  const V ln2_lo = constant(d, 1.42860677e-6f, 1.90821492927058770002e-10);
  V y;
  if constexpr (kIsFloat<D>) {
    const V p = polynomial(
        d, f,
        {0.3333333088135653575f, -0.2500080481977457588f, 0.2000125177007191184f, -0.1662385917288742454f,
         0.1420177219656322909f, -0.1315594190092913706f, 0.1275908849799752095f, -0.07641247029082292871f});
    const V curve = hn::MulAdd(f, p, hn::Set(d, -0.5f));
    const V low = hn::MulAdd(hn::Mul(f, f), curve, hn::Mul(e, ln2_lo));
    y = hn::MulAdd(e, ln2_hi, hn::Add(f, low));
  } else {
    // log(1 + f) = f - h + s (h + R) with s = f / (2 + f), h = f^2 / 2, R = 2 atanh(s) / s - 2
    const V s = hn::Div(f, hn::Add(f, hn::Set(d, 2)));
    const V z = hn::Mul(s, s);
    const V p = polynomial(
        d, z,
        {0.6666666666666666098, 0.4000000000000624144, 0.2857142856908767527, 0.2222222264652894194,
         0.1818177568676387277, 0.1538708983337660607, 0.1325013890169866195, 0.1325114056516055451});
    const V h = hn::Mul(hn::Set(d, 0.5), hn::Mul(f, f));
    const V low = hn::MulAdd(s, hn::MulAdd(z, p, h), hn::Mul(e, ln2_lo));
    y = hn::MulAdd(e, ln2_hi, hn::Sub(f, hn::Sub(h, low)));
  }
  const auto ordinary = hn::And(hn::Gt(x, zero), hn::Lt(x, inf));
  const V negative_or_self = hn::IfThenElse(hn::Lt(x, zero), nan_of(d), x);
  const V special = hn::IfThenElse(hn::Eq(x, zero), hn::Neg(inf), negative_or_self);
  return hn::IfThenElse(ordinary, y, special);
}

/// log(1 + x) without cancellation near 0.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V log1p(D d, V x) {
  const V one = hn::Set(d, 1);
  const V u = hn::Add(x, one);
  // u lost ((u - 1) - x) in rounding; log(u - lost) = log(u) - lost / u to first order.
  const V lost = hn::Sub(hn::Sub(u, one), x);
  const V y = hn::Sub(log(d, u), hn::Div(lost, u));
  const auto plain = hn::And(hn::Gt(u, hn::Zero(d)), hn::Lt(u, inf_of(d)));
  return hn::IfThenElse(hn::Eq(u, one), x, hn::IfThenElse(plain, y, log(d, u)));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V tanh(D d, V x) {
  // tanh |x| = m / (m + 2) with m = expm1(2 |x|); beyond the bound the result rounds to 1.
  const V bound = constant(d, 10.0f, 20.0);
  const V m = expm1(d, hn::Mul(hn::Set(d, 2), hn::Min(bound, hn::Abs(x))));
  return hn::CopySign(hn::Div(m, hn::Add(m, hn::Set(d, 2))), x);
}

/// 1 / (1 + e^-x)
template <class D, class V = hn::Vec<D>>
HWY_INLINE V sigmoid(D d, V x) {
  return hn::Div(hn::Set(d, 1), hn::Add(hn::Set(d, 1), exp(d, hn::Neg(x))));
}

/// log(1 + e^x) as max(x, 0) + log1p(e^-|x|)
template <class D, class V = hn::Vec<D>>
HWY_INLINE V softplus(D d, V x) {
  const V tail = log1p(d, exp(d, hn::Neg(hn::Abs(x))));
  return hn::Add(hn::Max(hn::Zero(d), x), tail);
}

/// Error function: x P(x^2) up to |x| = 1, behind that 1 - exp(Q(|x|)) with Q fitted to log(erfc).
template <class D, class V = hn::Vec<D>>
HWY_INLINE V erf(D d, V x) {
  const V a = hn::Abs(x);
  const V z = hn::Min(hn::Set(d, 1), hn::Mul(x, x));
  const V t = hn::Max(hn::Set(d, 1), hn::Min(constant(d, 4.0f, 6.0), a));
  V inner, outer;
  if constexpr (kIsFloat<D>) {
    inner = polynomial(d, z,
                       {1.12837916706310954f, -0.3761263848334747226f, 0.112837827399831756f,
                        -0.02686544539586499336f, 0.005221073678974499129f, -0.0008484694058278582926f,
                        0.0001127041918160324818f, -9.679781163897536637e-6f});
    outer = polynomial(d, t,
                       {0.0001879596222003482093f, -1.129578046796268332f, -0.6332206316850680531f,
                        -0.1084177959015944004f, 0.02520777469745032577f, -0.004204388748788104985f,
                        0.0004413029095611434036f, -0.00002168416776154854314f});
  } else {
    inner = polynomial(
        d, z,
        {1.128379167095512574, -0.3761263890318374817, 0.1128379167095488427, -0.0268661706450778388,
         0.00522397762482809114, -0.000854832698140677142, 0.0001205533113229620073,
         -0.00001492559575688693537, 1.646100824077327604e-6, -1.635039379222698012e-7,
         1.466031289166662718e-8, -1.137489642200298903e-9, 5.96058799250421282e-11});
    outer = polynomial(
        d, hn::Sub(t, hn::Set(d, 2.0)),
        {-5.364941264616637477, -4.418160805994417511, -0.923750841823805335, -0.01646511813686504536,
         0.003570756346158813305, -0.0007323993857320215187, 0.0001353093347397658262,
         -0.00002070643260145986785, 1.952193730645174251e-6, 2.036425752783357064e-7,
         -1.732047587915590069e-7, 5.779715665303361054e-8, -1.395073689510487475e-8, 2.539152855513351837e-9,
         -2.7427845139298853e-10, -4.310241090654078764e-11, 3.735972590627878589e-11,
         -1.010753243897125259e-11, 1.038548428394201008e-12});
  }
  const V far = hn::CopySign(hn::Sub(hn::Set(d, 1), exp(d, outer)), x);
  return hn::IfThenElse(hn::Gt(a, hn::Set(d, 1)), far, hn::Mul(x, inner));
}

// Applies a scalar function to the lanes in `lanes`, for arguments that the vector code does not cover.
template <class D, class F, class V = hn::Vec<D>>
HWY_NOINLINE V patch_lanes(D d, hn::Mask<D> lanes, hn::VecArg<V> a, hn::VecArg<V> b, hn::VecArg<V> y, F f) {
  using T = hn::TFromD<D>;
  alignas(64) T as[hn::MaxLanes(d)], bs[hn::MaxLanes(d)], ys[hn::MaxLanes(d)], on[hn::MaxLanes(d)];
  hn::Store(a, d, as);
  hn::Store(b, d, bs);
  hn::Store(y, d, ys);
  hn::Store(hn::IfThenElseZero(lanes, hn::Set(d, 1)), d, on);
  for (size_t i = 0; i < hn::Lanes(d); ++i)
    if (on[i] != 0) ys[i] = f(as[i], bs[i]);
  return hn::Load(d, ys);
}

// Beyond this the three-part range reduction of the library's sin and cos loses bits.
template <class D>
HWY_INLINE auto beyond_trig_range(D d, hn::Vec<D> x) {
  return hn::Not(hn::Lt(hn::Abs(x), constant(d, 39000.0f, 39000.0)));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V sin(D d, V x) {
  V y = hn::Sin(d, x);
  const auto far = beyond_trig_range(d, x);
  if (HWY_UNLIKELY(!hn::AllFalse(d, far)))
    y = patch_lanes(d, far, x, x, y, [](auto a, auto) { return std::sin(a); });
  return hn::IfThenElse(hn::Eq(x, hn::Zero(d)), x, y);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V cos(D d, V x) {
  V y = hn::Cos(d, x);
  const auto far = beyond_trig_range(d, x);
  if (HWY_UNLIKELY(!hn::AllFalse(d, far)))
    y = patch_lanes(d, far, x, x, y, [](auto a, auto) { return std::cos(a); });
  return y;
}

/// x^y. float: exp(y log x) in double for positive finite x; other arguments and double go lane by lane.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V pow(D d, V x, V y) {
  const auto scalar = [](auto a, auto b) { return std::pow(a, b); };
  if constexpr (kIsFloat<D>) {
    const hn::RepartitionToWide<D> dd;
    const hn::Half<D> half;
    const auto part = [&](auto a, auto b) HWY_ATTR {
      return hn::DemoteTo(half, exp(dd, hn::Mul(hn::PromoteTo(dd, b), log(dd, hn::PromoteTo(dd, a)))));
    };
    const auto low = part(hn::LowerHalf(half, x), hn::LowerHalf(half, y));
    const auto high = part(hn::UpperHalf(half, x), hn::UpperHalf(half, y));
    V z = hn::Combine(d, high, low);
    const V inf = inf_of(d);
    const auto plain = hn::And(hn::And(hn::Gt(x, hn::Zero(d)), hn::Lt(x, inf)), hn::Lt(hn::Abs(y), inf));
    if (HWY_UNLIKELY(!hn::AllTrue(d, plain))) z = patch_lanes(d, hn::Not(plain), x, y, z, scalar);
    return z;
  } else {
    return patch_lanes(d, hn::Eq(hn::Zero(d), hn::Zero(d)), x, y, x, scalar);
  }
}

// 0.5 (1 + erf(x / sqrt(2))), the normal distribution function.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V normal_cdf(D d, V x) {
  const V half = hn::Set(d, 0.5);
  return hn::MulAdd(half, erf(d, hn::Mul(x, constant(d, 0.70710678f, 0.70710678118654752))), half);
}

// tanh(sqrt(2 / pi) (x + 0.044715 x^3))
template <class D, class V = hn::Vec<D>>
HWY_INLINE V gelu_tanh_inner(D d, V x) {
  const V cubic = hn::MulAdd(hn::Mul(x, x), constant(d, 0.044715f, 0.044715), hn::Set(d, 1));
  return tanh(d, hn::Mul(hn::Mul(x, constant(d, 0.79788456f, 0.79788456080286536)), cubic));
}

/// Largest / smallest of two lanes; NaN if either is NaN, as NumPy's maximum and minimum.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V maximum(D, V a, V b) {
  return hn::IfThenElse(is_nan(a), a, hn::Max(a, b));
}
template <class D, class V = hn::Vec<D>>
HWY_INLINE V minimum(D, V a, V b) {
  return hn::IfThenElse(is_nan(a), a, hn::Min(a, b));
}

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
