// Optimiser sweeps.
#include "ops/shared/simd/optimizer.h"

#include <cmath>
#include <limits>

#include "ops/shared/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/simd/optimizer.cpp"
#include "hwy/foreach_target.h"
#include "ops/shared/simd/vec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {
namespace {

template <class G>
HWY_NOINLINE void sgd(const SgdArgs& args, float* param, const G* grad, float* velocity, bf16_t* shadow,
                      size_t n) {
  const hn::ScalableTag<float> d;
  const auto scale = hn::Set(d, static_cast<float>(args.grad_scale));
  const auto decay = hn::Set(d, static_cast<float>(args.weight_decay));
  const auto momentum = hn::Set(d, static_cast<float>(args.momentum));
  const auto lr = hn::Set(d, static_cast<float>(args.lr));
  for_each_vector(d, n, [&](size_t i, auto k) HWY_ATTR {
    const auto p = load_n(d, param + i, k);
    const auto g = hn::MulAdd(decay, p, hn::Mul(load_n(d, grad + i, k), scale));
    auto move = g;
    if (velocity != nullptr) {
      const auto next = hn::MulAdd(momentum, load_n(d, velocity + i, k), g);
      store_n(next, d, velocity + i, k);
      move = args.nesterov ? hn::MulAdd(momentum, next, g) : next;
    }
    const auto q = hn::NegMulAdd(lr, move, p);
    store_n(q, d, param + i, k);
    if (shadow != nullptr) store_n(q, d, shadow + i, k);
  });
}

template <class G>
HWY_NOINLINE void adam(const AdamArgs& args, float* param, const G* grad, float* m, float* v, bf16_t* shadow,
                       size_t n) {
  const hn::ScalableTag<float> d;
  const double step = static_cast<double>(args.step);
  const double correction1 = 1 - std::pow(args.beta1, step), correction2 = 1 - std::pow(args.beta2, step);
  const auto scale = hn::Set(d, static_cast<float>(args.grad_scale));
  const auto mix1 = hn::Set(d, static_cast<float>(1 - args.beta1));
  const auto keep2 = hn::Set(d, static_cast<float>(args.beta2));
  const auto mix2 = hn::Set(d, static_cast<float>(1 - args.beta2));
  const auto rescale2 = hn::Set(d, static_cast<float>(std::sqrt(correction2)));
  const auto eps = hn::Set(d, static_cast<float>(args.eps));
  const auto rate = hn::Set(d, static_cast<float>(args.lr / correction1));
  const auto shrink = hn::Set(d, static_cast<float>(args.decoupled ? 1 - args.lr * args.weight_decay : 1.0));
  const auto decay = hn::Set(d, static_cast<float>(args.decoupled ? 0.0 : args.weight_decay));
  for_each_vector(d, n, [&](size_t i, auto k) HWY_ATTR {
    const auto p = hn::Mul(load_n(d, param + i, k), shrink);
    const auto g = hn::MulAdd(decay, p, hn::Mul(load_n(d, grad + i, k), scale));
    const auto m0 = load_n(d, m + i, k);
    const auto m1 = hn::MulAdd(hn::Sub(g, m0), mix1, m0);
    const auto v1 = hn::MulAdd(hn::Mul(g, g), mix2, hn::Mul(load_n(d, v + i, k), keep2));
    const auto denominator = hn::Add(hn::Div(hn::Sqrt(v1), rescale2), eps);
    const auto q = hn::NegMulAdd(rate, hn::Div(m1, denominator), p);
    store_n(m1, d, m + i, k);
    store_n(v1, d, v + i, k);
    store_n(q, d, param + i, k);
    if (shadow != nullptr) store_n(q, d, shadow + i, k);
  });
}

template <class T>
double squares(const void* xv, size_t n) {
  const hn::ScalableTag<ComputeOf<T>> d;
  const T* x = static_cast<const T*>(xv);
  RowSum<decltype(d)> a, b;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; n - i >= 2 * lanes; i += 2 * lanes) {
    const auto u = load(d, x + i), v = load(d, x + i + lanes);
    a.add_product(u, u);
    b.add_product(v, v);
  }
  for (; i < n; i += lanes) {
    const auto u = n - i >= lanes ? load(d, x + i) : load_tail(d, x + i, n - i);
    a.add_product(u, u);
  }
  return a.total() + b.total();
}

}  // namespace

bool sgd_for(const SgdArgs& args, float* param, const void* grad, DType grad_dtype, float* velocity,
             bf16_t* shadow, size_t n) {
  if (grad_dtype == DType::f32) {
    sgd(args, param, static_cast<const float*>(grad), velocity, shadow, n);
  } else if (grad_dtype == DType::bf16) {
    sgd(args, param, static_cast<const bf16_t*>(grad), velocity, shadow, n);
  } else {
    return false;
  }
  return true;
}

bool adam_for(const AdamArgs& args, float* param, const void* grad, DType grad_dtype, float* m, float* v,
              bf16_t* shadow, size_t n) {
  if (grad_dtype == DType::f32) {
    adam(args, param, static_cast<const float*>(grad), m, v, shadow, n);
  } else if (grad_dtype == DType::bf16) {
    adam(args, param, static_cast<const bf16_t*>(grad), m, v, shadow, n);
  } else {
    return false;
  }
  return true;
}

void ema_for(float* average, const float* value, double decay, size_t n) {
  const hn::ScalableTag<float> d;
  const auto mix = hn::Set(d, static_cast<float>(1 - decay));
  for_each_vector(d, n, [&](size_t i, auto k) HWY_ATTR {
    const auto a = load_n(d, average + i, k);
    store_n(hn::MulAdd(hn::Sub(load_n(d, value + i, k), a), mix, a), d, average + i, k);
  });
}

double sum_squares_for(const void* x, DType dtype, size_t n) {
  switch (dtype) {
    case DType::f32:
      return squares<float>(x, n);
    case DType::f64:
      return squares<double>(x, n);
    case DType::f16:
      return squares<f16_t>(x, n);
    case DType::bf16:
      return squares<bf16_t>(x, n);
    default:
      return std::numeric_limits<double>::quiet_NaN();
  }
}

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::simd {
HWY_EXPORT(sgd_for);
HWY_EXPORT(adam_for);
HWY_EXPORT(ema_for);
HWY_EXPORT(sum_squares_for);

bool sgd_update(const SgdArgs& args, float* param, const void* grad, DType grad_dtype, float* velocity,
                bf16_t* shadow, size_t n) {
  return HWY_DYNAMIC_DISPATCH(sgd_for)(args, param, grad, grad_dtype, velocity, shadow, n);
}
bool adam_update(const AdamArgs& args, float* param, const void* grad, DType grad_dtype, float* m, float* v,
                 bf16_t* shadow, size_t n) {
  return HWY_DYNAMIC_DISPATCH(adam_for)(args, param, grad, grad_dtype, m, v, shadow, n);
}
void ema_update(float* average, const float* value, double decay, size_t n) {
  HWY_DYNAMIC_DISPATCH(ema_for)(average, value, decay, n);
}
double sum_squares(const void* x, DType dtype, size_t n) {
  return HWY_DYNAMIC_DISPATCH(sum_squares_for)(x, dtype, n);
}
}  // namespace fovea::simd
#endif
