// Gates of recurrent cells.
#include "ops/shared/simd/gates.h"

#include "ops/shared/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/simd/gates.cpp"
#include "hwy/foreach_target.h"
#include "ops/shared/simd/math-inl.h"
#include "ops/shared/simd/vec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {
namespace {

// v (1 - v), the derivative of the logistic function at its value v; 1 - v^2, that of tanh.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V sigmoid_slope(D, V v) {
  return hn::NegMulAdd(v, v, v);
}
template <class D, class V = hn::Vec<D>>
HWY_INLINE V tanh_slope(D d, V v) {
  return hn::NegMulAdd(v, v, hn::Set(d, 1));
}

template <class T>
void gru(const void* av, const void* bv, const void* hv, void* yv, size_t rows, size_t n) {
  const hn::ScalableTag<ComputeOf<T>> d;
  for (size_t row = 0; row < rows; ++row) {
    const T *a = static_cast<const T*>(av) + row * 3 * n, *b = static_cast<const T*>(bv) + row * 3 * n;
    const T* h = static_cast<const T*>(hv) + row * n;
    T* y = static_cast<T*>(yv) + row * n;
    for_each_vector(d, n, [&](size_t i, auto k) HWY_ATTR {
      const auto r = sigmoid(d, hn::Add(load_n(d, a + i, k), load_n(d, b + i, k)));
      const auto z = sigmoid(d, hn::Add(load_n(d, a + n + i, k), load_n(d, b + n + i, k)));
      const auto c = tanh(d, hn::MulAdd(r, load_n(d, b + 2 * n + i, k), load_n(d, a + 2 * n + i, k)));
      store_n(hn::MulAdd(z, hn::Sub(load_n(d, h + i, k), c), c), d, y + i, k);
    });
  }
}

template <class T>
void gru_backward(const void* av, const void* bv, const void* hv, const void* gv, void* dav, void* dbv,
                  void* dhv, size_t rows, size_t n) {
  const hn::ScalableTag<ComputeOf<T>> d;
  for (size_t row = 0; row < rows; ++row) {
    const T *a = static_cast<const T*>(av) + row * 3 * n, *b = static_cast<const T*>(bv) + row * 3 * n;
    const T *h = static_cast<const T*>(hv) + row * n, *g = static_cast<const T*>(gv) + row * n;
    T *da = static_cast<T*>(dav) + row * 3 * n, *db = static_cast<T*>(dbv) + row * 3 * n;
    T* dh = static_cast<T*>(dhv) + row * n;
    for_each_vector(d, n, [&](size_t i, auto k) HWY_ATTR {
      const auto r = sigmoid(d, hn::Add(load_n(d, a + i, k), load_n(d, b + i, k)));
      const auto z = sigmoid(d, hn::Add(load_n(d, a + n + i, k), load_n(d, b + n + i, k)));
      const auto b_n = load_n(d, b + 2 * n + i, k), gi = load_n(d, g + i, k);
      const auto c = tanh(d, hn::MulAdd(r, b_n, load_n(d, a + 2 * n + i, k)));
      const auto dz = hn::Mul(hn::Mul(gi, hn::Sub(load_n(d, h + i, k), c)), sigmoid_slope(d, z));
      const auto dn = hn::Mul(hn::NegMulAdd(gi, z, gi), tanh_slope(d, c));
      const auto dr = hn::Mul(hn::Mul(dn, b_n), sigmoid_slope(d, r));
      store_n(hn::Mul(gi, z), d, dh + i, k);
      store_n(dr, d, da + i, k);
      store_n(dz, d, da + n + i, k);
      store_n(dn, d, da + 2 * n + i, k);
      store_n(dr, d, db + i, k);
      store_n(dz, d, db + n + i, k);
      store_n(hn::Mul(dn, r), d, db + 2 * n + i, k);
    });
  }
}

template <class T>
void lstm(const void* gatesv, const void* cv, void* hv, void* c_outv, size_t rows, size_t n) {
  const hn::ScalableTag<ComputeOf<T>> d;
  for (size_t row = 0; row < rows; ++row) {
    const T *x = static_cast<const T*>(gatesv) + row * 4 * n, *c = static_cast<const T*>(cv) + row * n;
    T *h = static_cast<T*>(hv) + row * n, *c_out = static_cast<T*>(c_outv) + row * n;
    for_each_vector(d, n, [&](size_t i, auto k) HWY_ATTR {
      const auto in = sigmoid(d, load_n(d, x + i, k)), keep = sigmoid(d, load_n(d, x + n + i, k));
      const auto fresh = tanh(d, load_n(d, x + 2 * n + i, k));
      const auto state = hn::MulAdd(keep, load_n(d, c + i, k), hn::Mul(in, fresh));
      store_n(hn::Mul(sigmoid(d, load_n(d, x + 3 * n + i, k)), tanh(d, state)), d, h + i, k);
      store_n(state, d, c_out + i, k);
    });
  }
}

template <class T>
void lstm_backward(const void* gatesv, const void* cv, const void* dhv, const void* dc_outv, void* dgatesv,
                   void* dcv, size_t rows, size_t n) {
  const hn::ScalableTag<ComputeOf<T>> d;
  for (size_t row = 0; row < rows; ++row) {
    const T *x = static_cast<const T*>(gatesv) + row * 4 * n, *c = static_cast<const T*>(cv) + row * n;
    const T *dh = static_cast<const T*>(dhv) + row * n, *dc_out = static_cast<const T*>(dc_outv) + row * n;
    T *dx = static_cast<T*>(dgatesv) + row * 4 * n, *dc = static_cast<T*>(dcv) + row * n;
    for_each_vector(d, n, [&](size_t i, auto k) HWY_ATTR {
      const auto in = sigmoid(d, load_n(d, x + i, k)), keep = sigmoid(d, load_n(d, x + n + i, k));
      const auto fresh = tanh(d, load_n(d, x + 2 * n + i, k)), out = sigmoid(d, load_n(d, x + 3 * n + i, k));
      const auto before = load_n(d, c + i, k), g = load_n(d, dh + i, k);
      const auto squashed = tanh(d, hn::MulAdd(keep, before, hn::Mul(in, fresh)));
      const auto ds = hn::MulAdd(hn::Mul(g, out), tanh_slope(d, squashed), load_n(d, dc_out + i, k));
      store_n(hn::Mul(ds, keep), d, dc + i, k);
      store_n(hn::Mul(hn::Mul(ds, fresh), sigmoid_slope(d, in)), d, dx + i, k);
      store_n(hn::Mul(hn::Mul(ds, before), sigmoid_slope(d, keep)), d, dx + n + i, k);
      store_n(hn::Mul(hn::Mul(ds, in), tanh_slope(d, fresh)), d, dx + 2 * n + i, k);
      store_n(hn::Mul(hn::Mul(g, squashed), sigmoid_slope(d, out)), d, dx + 3 * n + i, k);
    });
  }
}

template <class T>
constexpr GateKernels kKernels = {&gru<T>, &gru_backward<T>, &lstm<T>, &lstm_backward<T>};

}  // namespace

const GateKernels* gates_for(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return &kKernels<float>;
    case DType::f64:
      return &kKernels<double>;
    case DType::f16:
      return &kKernels<f16_t>;
    case DType::bf16:
      return &kKernels<bf16_t>;
    default:
      return nullptr;
  }
}

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::simd {
HWY_EXPORT(gates_for);
const GateKernels* gate_kernels(DType dtype) { return HWY_DYNAMIC_DISPATCH(gates_for)(dtype); }
}  // namespace fovea::simd
#endif
