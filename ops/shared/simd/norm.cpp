// Normalisation rows and channels.
#include "ops/shared/simd/norm.h"

#include <algorithm>
#include <cmath>

#include "ops/shared/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/simd/norm.cpp"
#include "hwy/foreach_target.h"
#include "ops/shared/simd/vec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {
namespace {

template <class T>
const T* in(const void* p) {
  return static_cast<const T*>(p);
}
template <class T>
T* out(void* p) {
  return static_cast<T*>(p);
}
template <class P>
P* row_of(P* p, size_t offset) {
  return p == nullptr ? nullptr : p + offset;
}

// take(sum, i, k) adds the elements from i on to one of two sums.
template <class D, class F>
HWY_INLINE double row_total(D d, size_t n, F take) {
  RowSum<D> a, b;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; n - i >= 2 * lanes; i += 2 * lanes) take(a, i, All()), take(b, i + lanes, All());
  for (; n - i >= lanes; i += lanes) take(a, i, All());
  if (i < n) take(b, i, n - i);
  return a.total() + b.total();
}

template <class D>
HWY_INLINE double row_sum(D d, const hn::TFromD<D>* x, size_t n) {
  return row_total(d, n, [&](RowSum<D>& sum, size_t i, auto k) HWY_ATTR { sum.add(load_n(d, x + i, k)); });
}

// Sum of (x - mean)^2: the second of two passes, so nothing cancels.
template <class D>
HWY_INLINE double row_squares(D d, const hn::TFromD<D>* x, size_t n, hn::TFromD<D> mean) {
  const auto m = hn::Set(d, mean);
  return row_total(d, n, [&](RowSum<D>& sum, size_t i, auto k) HWY_ATTR {
    const auto c = hn::Sub(load_or(d, x + i, k, mean), m);
    sum.add_product(c, c);
  });
}

template <class T>
T rstd_of(double squares, size_t n, double eps) {
  return static_cast<T>(1 / std::sqrt(squares / static_cast<double>(n) + eps));
}

// y = (x - mean) rstd gamma + beta; gamma and beta may be null.
template <bool kCentred, class D, class T = hn::TFromD<D>>
HWY_INLINE void normalise_row(D d, const T* x, const T* gamma, const T* beta, T* y, T mean, T rstd,
                              size_t n) {
  const auto m = hn::Set(d, mean), s = hn::Set(d, rstd);
  for_each_vector(d, n, [&](size_t i, auto k) HWY_ATTR {
    auto v = load_n(d, x + i, k);
    if constexpr (kCentred) v = hn::Sub(v, m);
    v = hn::Mul(v, s);
    if (gamma != nullptr && beta != nullptr) {
      v = hn::MulAdd(v, load_n(d, gamma + i, k), load_n(d, beta + i, k));
    } else if (gamma != nullptr) {
      v = hn::Mul(v, load_n(d, gamma + i, k));
    } else if (beta != nullptr) {
      v = hn::Add(v, load_n(d, beta + i, k));
    }
    store_n(v, d, y + i, k);
  });
}

template <class T>
void layer_norm(const void* xv, const void* gammav, const void* betav, void* yv, void* mean_out,
                void* rstd_out, size_t rows, size_t n, double eps) {
  const hn::ScalableTag<T> d;
  const T *gamma = in<T>(gammav), *beta = in<T>(betav);
  for (size_t r = 0; r < rows; ++r) {
    const T* x = in<T>(xv) + r * n;
    const T mean = static_cast<T>(row_sum(d, x, n) / static_cast<double>(n));
    const T rstd = rstd_of<T>(row_squares(d, x, n, mean), n, eps);
    if (mean_out != nullptr) out<T>(mean_out)[r] = mean;
    if (rstd_out != nullptr) out<T>(rstd_out)[r] = rstd;
    normalise_row<true>(d, x, gamma, beta, out<T>(yv) + r * n, mean, rstd, n);
  }
}

template <class T>
void rms_norm(const void* xv, const void* gammav, void* yv, void* rstd_out, size_t rows, size_t n,
              double eps) {
  const hn::ScalableTag<T> d;
  for (size_t r = 0; r < rows; ++r) {
    const T* x = in<T>(xv) + r * n;
    const T rstd = rstd_of<T>(row_squares(d, x, n, T(0)), n, eps);
    if (rstd_out != nullptr) out<T>(rstd_out)[r] = rstd;
    normalise_row<false>(d, x, in<T>(gammav), static_cast<const T*>(nullptr), out<T>(yv) + r * n, T(0), rstd,
                         n);
  }
}

// The row of sums is written, its mean or its squares gathered on the way; it is in the cache for the rest.
template <class T, bool kCentred>
void residual_norm_rows(const ResidualNormArgs& a) {
  using D = hn::ScalableTag<T>;
  const D d;
  const size_t n = a.n;
  for (size_t r = 0; r < a.rows; ++r) {
    const T *x = in<T>(a.x) + r * n, *branch = in<T>(a.branch) + r * n;
    T* y = out<T>(a.y) + r * n;
    double total = row_total(d, n, [&](RowSum<D>& sum, size_t i, auto k) HWY_ATTR {
      const auto v = hn::Add(load_n(d, x + i, k), load_n(d, branch + i, k));
      store_n(v, d, y + i, k);
      if constexpr (kCentred) {
        sum.add(v);
      } else {
        sum.add_product(v, v);
      }
    });
    const T mean = kCentred ? static_cast<T>(total / static_cast<double>(n)) : T(0);
    if constexpr (kCentred) total = row_squares(d, y, n, mean);
    const T rstd = rstd_of<T>(total, n, a.eps);
    if (a.mean != nullptr) out<T>(a.mean)[r] = mean;
    if (a.rstd != nullptr) out<T>(a.rstd)[r] = rstd;
    normalise_row<kCentred>(d, y, in<T>(a.gamma), in<T>(a.beta), out<T>(a.z) + r * n, mean, rstd, n);
  }
}

template <class T>
void residual_norm(const ResidualNormArgs& a) {
  a.centred ? residual_norm_rows<T, true>(a) : residual_norm_rows<T, false>(a);
}

// Both norms: with h = g gamma and xhat = (x - mean) rstd,
//   dx = rstd (h - mean(h) - xhat mean(h xhat)),   RMS norm without the mean(h) term and with mean = 0.
// `residual`, if there is one, is added to dx.
template <class T, bool kCentred>
void backward_rows(const void* gv, const void* xv, const void* gammav, const void* mean, const void* rstd,
                   const void* residualv, void* dxv, void* dgammav, void* dbetav, size_t rows, size_t n) {
  const hn::ScalableTag<T> d;
  using D = decltype(d);
  const T* gamma = in<T>(gammav);
  T *dgamma = out<T>(dgammav), *dbeta = out<T>(dbetav);
  for (size_t r = 0; r < rows; ++r) {
    const T *g = in<T>(gv) + r * n, *x = in<T>(xv) + r * n;
    const T* residual = row_of(in<T>(residualv), r * n);
    T* dx = row_of(out<T>(dxv), r * n);
    const auto m = hn::Set(d, kCentred ? in<T>(mean)[r] : T(0)), s = hn::Set(d, in<T>(rstd)[r]);
    RowSum<D> sum_h, sum_hx;
    for_each_vector(d, n, [&](size_t i, auto k) HWY_ATTR {
      const auto gi = load_n(d, g + i, k);
      const auto xhat = hn::Mul(hn::Sub(load_n(d, x + i, k), m), s);
      const auto h = gamma != nullptr ? hn::Mul(gi, load_n(d, gamma + i, k)) : gi;
      if constexpr (kCentred) sum_h.add(h);
      sum_hx.add_product(h, xhat);  // g is zero behind the row's end
      if (dgamma != nullptr) store_n(hn::MulAdd(gi, xhat, load_n(d, dgamma + i, k)), d, dgamma + i, k);
      if (dbeta != nullptr) store_n(hn::Add(gi, load_n(d, dbeta + i, k)), d, dbeta + i, k);
    });
    if (dx == nullptr) continue;
    const auto mean_h = hn::Set(d, static_cast<T>(kCentred ? sum_h.total() / static_cast<double>(n) : 0.0));
    const auto mean_hx = hn::Set(d, static_cast<T>(sum_hx.total() / static_cast<double>(n)));
    for_each_vector(d, n, [&](size_t i, auto k) HWY_ATTR {
      const auto gi = load_n(d, g + i, k);
      const auto xhat = hn::Mul(hn::Sub(load_n(d, x + i, k), m), s);
      const auto h = gamma != nullptr ? hn::Mul(gi, load_n(d, gamma + i, k)) : gi;
      auto v = hn::Mul(s, hn::NegMulAdd(xhat, mean_hx, hn::Sub(h, mean_h)));
      if (residual != nullptr) v = hn::Add(v, load_n(d, residual + i, k));
      store_n(v, d, dx + i, k);
    });
  }
}

template <class T>
void layer_norm_backward(const void* g, const void* x, const void* gamma, const void* mean, const void* rstd,
                         void* dx, void* dgamma, void* dbeta, size_t rows, size_t n) {
  backward_rows<T, true>(g, x, gamma, mean, rstd, nullptr, dx, dgamma, dbeta, rows, n);
}

template <class T>
void rms_norm_backward(const void* g, const void* x, const void* gamma, const void* rstd, void* dx,
                       void* dgamma, size_t rows, size_t n) {
  backward_rows<T, false>(g, x, gamma, nullptr, rstd, nullptr, dx, dgamma, nullptr, rows, n);
}

template <class T>
void residual_norm_backward(const ResidualNormGradients& a) {
  const auto rows = a.mean != nullptr ? &backward_rows<T, true> : &backward_rows<T, false>;
  rows(a.g, a.y, a.gamma, a.mean, a.rstd, a.residual, a.dx, a.dgamma, a.dbeta, a.rows, a.n);
}

// ---- channels of [batch, channels, spatial]; spatial = 1 goes down columns, a vector of channels at a time

template <class T>
void channel_statistics(const void* xv, void* mean, void* var, size_t batch, size_t channels, size_t spatial,
                        size_t first, size_t last) {
  const hn::ScalableTag<T> d;
  const T* x = in<T>(xv);
  const double count = static_cast<double>(batch) * static_cast<double>(spatial);
  if (spatial == 1) {
    const auto inverse = hn::Set(d, static_cast<T>(1 / count));
    for_each_vector(d, last - first, [&](size_t i, auto k) HWY_ATTR {
      const T* column = x + first + i;
      RowSum<decltype(d)> sum, squares;
      for (size_t b = 0; b < batch; ++b) sum.add(load_n(d, column + b * channels, k));
      const auto m = hn::Mul(sum.sum.result(), inverse);
      for (size_t b = 0; b < batch; ++b) {
        const auto c = hn::Sub(load_n(d, column + b * channels, k), m);
        squares.add_product(c, c);
      }
      store_n(m, d, out<T>(mean) + first + i, k);
      store_n(hn::Mul(squares.sum.result(), inverse), d, out<T>(var) + first + i, k);
    });
    return;
  }
  for (size_t c = first; c < last; ++c) {
    double sum = 0, squares = 0;
    for (size_t b = 0; b < batch; ++b) sum += row_sum(d, x + (b * channels + c) * spatial, spatial);
    const T m = static_cast<T>(sum / count);
    for (size_t b = 0; b < batch; ++b)
      squares += row_squares(d, x + (b * channels + c) * spatial, spatial, m);
    out<T>(mean)[c] = m;
    out<T>(var)[c] = static_cast<T>(squares / count);
  }
}

template <class T>
void channel_normalize(const void* xv, const void* mean, const void* scale, const void* shift, void* yv,
                       size_t batch, size_t channels, size_t spatial) {
  const hn::ScalableTag<T> d;
  for (size_t b = 0; b < batch; ++b) {
    if (spatial == 1) {
      const T* x = in<T>(xv) + b * channels;
      T* y = out<T>(yv) + b * channels;
      for_each_vector(d, channels, [&](size_t i, auto k) HWY_ATTR {
        const auto c = hn::Sub(load_n(d, x + i, k), load_n(d, in<T>(mean) + i, k));
        const auto t = shift != nullptr ? load_n(d, in<T>(shift) + i, k) : hn::Zero(d);
        store_n(hn::MulAdd(c, load_n(d, in<T>(scale) + i, k), t), d, y + i, k);
      });
      continue;
    }
    for (size_t c = 0; c < channels; ++c) {
      const T* x = in<T>(xv) + (b * channels + c) * spatial;
      T* y = out<T>(yv) + (b * channels + c) * spatial;
      const auto m = hn::Set(d, in<T>(mean)[c]), s = hn::Set(d, in<T>(scale)[c]);
      const auto t = hn::Set(d, shift != nullptr ? in<T>(shift)[c] : T(0));
      for_each_vector(d, spatial, [&](size_t i, auto k) HWY_ATTR {
        store_n(hn::MulAdd(hn::Sub(load_n(d, x + i, k), m), s, t), d, y + i, k);
      });
    }
  }
}

template <class T>
void channel_gradients(const void* gv, const void* xv, const void* mean, const void* rstd, void* dgamma,
                       void* dbeta, size_t batch, size_t channels, size_t spatial, size_t first,
                       size_t last) {
  const hn::ScalableTag<T> d;
  const T *g = in<T>(gv), *x = in<T>(xv);
  if (spatial == 1) {
    for_each_vector(d, last - first, [&](size_t i, auto k) HWY_ATTR {
      const auto m = load_n(d, in<T>(mean) + first + i, k);
      RowSum<decltype(d)> sum, dot;
      for (size_t b = 0; b < batch; ++b) {
        const size_t at = b * channels + first + i;
        const auto gi = load_n(d, g + at, k);
        sum.add(gi);
        dot.add_product(gi, hn::Sub(load_n(d, x + at, k), m));
      }
      const auto s = load_n(d, in<T>(rstd) + first + i, k);
      store_n(sum.sum.result(), d, out<T>(dbeta) + first + i, k);
      store_n(hn::Mul(dot.sum.result(), s), d, out<T>(dgamma) + first + i, k);
    });
    return;
  }
  for (size_t c = first; c < last; ++c) {
    const auto m = hn::Set(d, in<T>(mean)[c]);
    double total = 0, total_dot = 0;
    for (size_t b = 0; b < batch; ++b) {
      const size_t at = (b * channels + c) * spatial;
      RowSum<decltype(d)> sum, dot;
      for_each_vector(d, spatial, [&](size_t i, auto k) HWY_ATTR {
        const auto gi = load_n(d, g + at + i, k);
        sum.add(gi);
        dot.add_product(gi, hn::Sub(load_n(d, x + at + i, k), m));
      });
      total += sum.total();
      total_dot += dot.total();
    }
    out<T>(dbeta)[c] = static_cast<T>(total);
    out<T>(dgamma)[c] = static_cast<T>(total_dot * static_cast<double>(in<T>(rstd)[c]));
  }
}

// dx = a g + b (x - mean) + c with a = gamma rstd, b = -a rstd dgamma / count, c = -a dbeta / count
template <class T>
void batch_norm_dx(const void* gv, const void* xv, const void* mean, const void* rstd, const void* gamma,
                   const void* dgamma, const void* dbeta, double count, void* dxv, size_t batch,
                   size_t channels, size_t spatial) {
  const hn::ScalableTag<T> d;
  const auto inverse = hn::Set(d, static_cast<T>(-1 / count));
  const auto one_plane = [&](auto m, auto s, auto gain, auto dg, auto db, const T* g, const T* x, T* dx,
                             size_t i, auto k) HWY_ATTR {
    const auto a = hn::Mul(gain, s);
    const auto b = hn::Mul(hn::Mul(a, s), hn::Mul(dg, inverse));
    const auto c = hn::Mul(a, hn::Mul(db, inverse));
    const auto y = hn::MulAdd(hn::Sub(load_n(d, x + i, k), m), b, c);
    store_n(hn::MulAdd(a, load_n(d, g + i, k), y), d, dx + i, k);
  };
  for (size_t n = 0; n < batch; ++n) {
    if (spatial == 1) {
      const size_t at = n * channels;
      for_each_vector(d, channels, [&](size_t i, auto k) HWY_ATTR {
        const auto gain = gamma != nullptr ? load_n(d, in<T>(gamma) + i, k) : hn::Set(d, T(1));
        one_plane(load_n(d, in<T>(mean) + i, k), load_n(d, in<T>(rstd) + i, k), gain,
                  load_n(d, in<T>(dgamma) + i, k), load_n(d, in<T>(dbeta) + i, k), in<T>(gv) + at,
                  in<T>(xv) + at, out<T>(dxv) + at, i, k);
      });
      continue;
    }
    for (size_t c = 0; c < channels; ++c) {
      const size_t at = (n * channels + c) * spatial;
      const auto gain = hn::Set(d, gamma != nullptr ? in<T>(gamma)[c] : T(1));
      const auto m = hn::Set(d, in<T>(mean)[c]), s = hn::Set(d, in<T>(rstd)[c]);
      const auto dg = hn::Set(d, in<T>(dgamma)[c]), db = hn::Set(d, in<T>(dbeta)[c]);
      for_each_vector(d, spatial, [&](size_t i, auto k) HWY_ATTR {
        one_plane(m, s, gain, dg, db, in<T>(gv) + at, in<T>(xv) + at, out<T>(dxv) + at, i, k);
      });
    }
  }
}

template <class T>
constexpr NormKernels kKernels = {
    &layer_norm<T>,        &layer_norm_backward<T>,    &rms_norm<T>,           &rms_norm_backward<T>,
    &residual_norm<T>,     &residual_norm_backward<T>, &channel_statistics<T>, &channel_normalize<T>,
    &channel_gradients<T>, &batch_norm_dx<T>,
};

}  // namespace

const NormKernels* norm_for(DType dtype) {
  if (dtype == DType::f32) return &kKernels<float>;
  if (dtype == DType::f64) return &kKernels<double>;
  return nullptr;
}

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::simd {
HWY_EXPORT(norm_for);
const NormKernels* norm_kernels(DType dtype) { return HWY_DYNAMIC_DISPATCH(norm_for)(dtype); }
}  // namespace fovea::simd
#endif
