#include "framework/backend/cpu/onednn/epilogue.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "framework/backend/cpu/onednn/epilogue.cpp"
#include "hwy/foreach_target.h"
//
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::onednn::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

// x/2 (1 + erf(x / sqrt 2)) with erf(z) = 1 - (a1 t + ... + a5 t^5) exp(-z^2), t = 1 / (1 + 0.3275911 z), z
// >= 0.
HWY_INLINE V gelu_erf(D d, V x) {
  const V z = hn::Mul(hn::Abs(x), hn::Set(d, 0.70710678f));
  const V t = hn::Div(hn::Set(d, 1.0f), hn::MulAdd(z, hn::Set(d, 0.3275911f), hn::Set(d, 1.0f)));
  V p = hn::MulAdd(hn::Set(d, 1.061405429f), t, hn::Set(d, -1.453152027f));
  p = hn::MulAdd(p, t, hn::Set(d, 1.421413741f));
  p = hn::MulAdd(p, t, hn::Set(d, -0.284496736f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.254829592f));
  const V exponent = hn::Max(hn::Neg(hn::Mul(z, z)), hn::Set(d, -87.0f));
  const V complement = hn::Mul(hn::Mul(p, t), hn::Exp(d, exponent));  // 1 - erf(z)
  const V half = hn::Set(d, 0.5f);
  const V tail = hn::Mul(half, complement);
  const V cdf = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(hn::Set(d, 1.0f), tail));
  const V y = hn::Mul(x, cdf);
  // Behind -13 the true value is below the least normal float; also keeps -inf from giving NaN.
  const V kept = hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -13.0f)), y);
  return hn::IfThenElse(hn::Ne(x, x), x, kept);
}

// (1 + tanh u) / 2 = 1 / (1 + exp(-2u))
HWY_INLINE V gelu_tanh(D d, V x) {
  const V cubic = hn::MulAdd(hn::Mul(x, x), hn::Set(d, 0.044715f), hn::Set(d, 1.0f));
  V e = hn::Mul(hn::Mul(x, cubic), hn::Set(d, -1.5957691f));
  e = hn::Max(hn::Set(d, -87.0f), hn::Min(hn::Set(d, 87.0f), e));
  const V y = hn::Div(x, hn::Add(hn::Set(d, 1.0f), hn::Exp(d, e)));
  const V kept = hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -13.0f)), y);
  return hn::IfThenElse(hn::Ne(x, x), x, kept);
}

template <Activation kActivation>
HWY_INLINE V activate(D d, V x) {
  if constexpr (kActivation == Activation::Relu) {
    return hn::IfThenZeroElse(hn::Lt(x, hn::Zero(d)), x);
  } else if constexpr (kActivation == Activation::GeluErf) {
    return gelu_erf(d, x);
  } else if constexpr (kActivation == Activation::GeluTanh) {
    return gelu_tanh(d, x);
  } else {
    return x;
  }
}

template <Activation kActivation>
HWY_NOINLINE void row(const float* bias, const float* residual, float* HWY_RESTRICT c, int64_t cols) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t j = 0;
  for (; j + lanes <= cols; j += lanes) {
    V x = hn::LoadU(d, c + j);
    if (bias != nullptr) x = hn::Add(x, hn::LoadU(d, bias + j));
    x = activate<kActivation>(d, x);
    if (residual != nullptr) x = hn::Add(x, hn::LoadU(d, residual + j));
    hn::StoreU(x, d, c + j);
  }
  if (j == cols) return;
  HWY_ALIGN float x_tail[HWY_MAX_BYTES / 4] = {}, bias_tail[HWY_MAX_BYTES / 4] = {};
  for (int64_t i = j; i < cols; ++i) x_tail[i - j] = c[i];
  if (bias != nullptr)
    for (int64_t i = j; i < cols; ++i) bias_tail[i - j] = bias[i];
  V x = hn::Load(d, x_tail);
  if (bias != nullptr) x = hn::Add(x, hn::Load(d, bias_tail));
  hn::Store(activate<kActivation>(d, x), d, x_tail);
  for (int64_t i = j; i < cols; ++i) c[i] = residual != nullptr ? x_tail[i - j] + residual[i] : x_tail[i - j];
}

template <Activation kActivation>
HWY_NOINLINE void channel(float bias, const float* residual, float* HWY_RESTRICT y, int64_t n) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const V b = hn::Set(d, bias);
  int64_t j = 0;
  for (; j + lanes <= n; j += lanes) {
    V x = hn::Add(hn::LoadU(d, y + j), b);
    if (residual != nullptr) x = hn::Add(x, hn::LoadU(d, residual + j));
    hn::StoreU(activate<kActivation>(d, x), d, y + j);
  }
  if (j == n) return;
  HWY_ALIGN float tail[HWY_MAX_BYTES / 4] = {};
  for (int64_t i = j; i < n; ++i) tail[i - j] = residual != nullptr ? y[i] + bias + residual[i] : y[i] + bias;
  hn::Store(activate<kActivation>(d, hn::Load(d, tail)), d, tail);
  for (int64_t i = j; i < n; ++i) y[i] = tail[i - j];
}

using RowFn = void (*)(const float*, const float*, float* HWY_RESTRICT, int64_t);
using ChannelFn = void (*)(float, const float*, float* HWY_RESTRICT, int64_t);

void rows_f32(const Epilogue<float>& e, float* c, int64_t c_row, int64_t rows, int64_t cols) {
  constexpr RowFn kRow[] = {row<Activation::None>, row<Activation::Relu>, row<Activation::GeluErf>,
                            row<Activation::GeluTanh>};
  const RowFn run = kRow[static_cast<int>(e.activation)];
  for (int64_t r = 0; r < rows; ++r)
    run(e.bias, e.residual == nullptr ? nullptr : e.residual + r * e.residual_row, c + r * c_row, cols);
}

void channel_f32(Activation activation, float bias, const float* residual, float* y, int64_t n) {
  constexpr ChannelFn kChannel[] = {channel<Activation::None>, channel<Activation::Relu>,
                                    channel<Activation::GeluErf>, channel<Activation::GeluTanh>};
  kChannel[static_cast<int>(activation)](bias, residual, y, n);
}

}  // namespace fovea::onednn::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::onednn {
namespace {

HWY_EXPORT(rows_f32);
HWY_EXPORT(channel_f32);

double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::None:
      return x;
    case Activation::Relu:
      return x < 0 ? 0 : x;
    case Activation::GeluErf:
      return std::isinf(x) && x < 0 ? 0 : 0.5 * x * std::erfc(-x * std::sqrt(0.5));
    case Activation::GeluTanh:
      break;
  }
  const double u = 0.79788456080286535588 * (x + 0.044715 * x * x * x);
  return std::isinf(x) && x < 0 ? 0 : 0.5 * x * (1 + std::tanh(u));
}

}  // namespace

void apply_epilogue(const Epilogue<float>& e, float* c, int64_t c_row, int64_t rows, int64_t cols) {
  if (!e.empty()) HWY_DYNAMIC_DISPATCH(rows_f32)(e, c, c_row, rows, cols);
}

void apply_epilogue(const Epilogue<double>& e, double* c, int64_t c_row, int64_t rows, int64_t cols) {
  if (e.empty()) return;
  for (int64_t r = 0; r < rows; ++r) {
    double* y = c + r * c_row;
    for (int64_t j = 0; j < cols; ++j) {
      const double x = activate(e.activation, y[j] + (e.bias == nullptr ? 0 : e.bias[j]));
      y[j] = e.residual == nullptr ? x : x + e.residual[r * e.residual_row + j];
    }
  }
}

void apply_channel(Activation activation, float bias, const float* residual, float* y, int64_t n) {
  HWY_DYNAMIC_DISPATCH(channel_f32)(activation, bias, residual, y, n);
}

}  // namespace fovea::onednn
#endif
