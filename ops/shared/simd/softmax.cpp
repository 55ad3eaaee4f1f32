// Softmax, log-softmax, log-sum-exp and cross-entropy rows.
#include "ops/shared/simd/softmax.h"

#include <cmath>
#include <limits>

#include "ops/shared/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/simd/softmax.cpp"
#include "hwy/foreach_target.h"
#include "ops/shared/simd/math-inl.h"
#include "ops/shared/simd/vec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {
namespace {

template <class C>
constexpr C kMinusInf = -std::numeric_limits<C>::infinity();

// A NaN may be lost here; it comes back through exp(NaN - max).
template <class D, class T>
HWY_INLINE hn::TFromD<D> row_max(D d, const T* x, size_t n) {
  const auto low = hn::Set(d, kMinusInf<hn::TFromD<D>>);
  const size_t lanes = hn::Lanes(d);
  auto a = low, b = low, c = low, e = low;
  size_t i = 0;
  for (; n - i >= 4 * lanes; i += 4 * lanes) {
    a = hn::Max(a, load(d, x + i));
    b = hn::Max(b, load(d, x + i + lanes));
    c = hn::Max(c, load(d, x + i + 2 * lanes));
    e = hn::Max(e, load(d, x + i + 3 * lanes));
  }
  for (; n - i >= lanes; i += lanes) a = hn::Max(a, load(d, x + i));
  if (i < n) b = hn::Max(b, load_tail_or(d, x + i, n - i, kMinusInf<hn::TFromD<D>>));
  return max_lanes(d, hn::Max(hn::Max(a, b), hn::Max(c, e)));
}

template <class D, class T>
HWY_INLINE double sum_exp(D d, const T* x, size_t n, hn::TFromD<D> shift) {
  const auto shifts = hn::Set(d, shift);
  RowSum<D> sum;
  for_each_vector(d, n, [&](size_t i, auto m) HWY_ATTR {
    sum.add(exp(d, hn::Sub(load_or(d, x + i, m, kMinusInf<hn::TFromD<D>>), shifts)));
  });
  return sum.total();
}

template <class T>
void softmax(const void* xv, void* yv, size_t rows, size_t n) {
  using C = ComputeOf<T>;
  const hn::ScalableTag<C> d;
  for (size_t r = 0; r < rows; ++r) {
    const T* x = static_cast<const T*>(xv) + r * n;
    T* y = static_cast<T*>(yv) + r * n;
    const C max = row_max(d, x, n);
    const auto shift = hn::Set(d, max);
    if constexpr (std::is_same_v<T, C>) {
      RowSum<decltype(d)> sum;
      for_each_vector(d, n, [&](size_t i, auto m) HWY_ATTR {
        const auto e = exp(d, hn::Sub(load_or(d, x + i, m, kMinusInf<C>), shift));
        store_n(e, d, y + i, m);
        sum.add(e);
      });
      const auto scale = hn::Set(d, static_cast<C>(1 / sum.total()));
      for_each_vector(d, n, [&](size_t i, auto m) HWY_ATTR {
        store_n(hn::Mul(load_n(d, y + i, m), scale), d, y + i, m);
      });
    } else {  // a half type would lose bits between the passes: compute exp twice
      const auto scale = hn::Set(d, static_cast<C>(1 / sum_exp(d, x, n, max)));
      for_each_vector(d, n, [&](size_t i, auto m) HWY_ATTR {
        store_n(hn::Mul(exp(d, hn::Sub(load_n(d, x + i, m), shift)), scale), d, y + i, m);
      });
    }
  }
}

template <class T>
void log_softmax(const void* xv, void* yv, size_t rows, size_t n) {
  using C = ComputeOf<T>;
  const hn::ScalableTag<C> d;
  for (size_t r = 0; r < rows; ++r) {
    const T* x = static_cast<const T*>(xv) + r * n;
    T* y = static_cast<T*>(yv) + r * n;
    const C max = row_max(d, x, n);
    const auto shift = hn::Set(d, max);
    const auto log_sum = hn::Set(d, static_cast<C>(std::log(sum_exp(d, x, n, max))));
    for_each_vector(d, n, [&](size_t i, auto m) HWY_ATTR {
      store_n(hn::Sub(hn::Sub(load_n(d, x + i, m), shift), log_sum), d, y + i, m);
    });
  }
}

template <class T>
void logsumexp(const void* xv, void* lse, size_t rows, size_t n) {
  using C = ComputeOf<T>;
  const hn::ScalableTag<C> d;
  for (size_t r = 0; r < rows; ++r) {
    const T* x = static_cast<const T*>(xv) + r * n;
    const C max = row_max(d, x, n);
    const C shift = std::isfinite(max) ? max : C(0);
    static_cast<C*>(lse)[r] = static_cast<C>(shift + std::log(sum_exp(d, x, n, shift)));
  }
}

template <class T>
void softmax_backward(const void* yv, const void* gv, void* dxv, size_t rows, size_t n) {
  using C = ComputeOf<T>;
  const hn::ScalableTag<C> d;
  for (size_t r = 0; r < rows; ++r) {
    const T* y = static_cast<const T*>(yv) + r * n;
    const T* g = static_cast<const T*>(gv) + r * n;
    T* dx = static_cast<T*>(dxv) + r * n;
    RowSum<decltype(d)> sum;
    for_each_vector(
        d, n, [&](size_t i, auto m) HWY_ATTR { sum.add_product(load_n(d, y + i, m), load_n(d, g + i, m)); });
    const auto dot = hn::Set(d, static_cast<C>(sum.total()));
    for_each_vector(d, n, [&](size_t i, auto m) HWY_ATTR {
      store_n(hn::Mul(load_n(d, y + i, m), hn::Sub(load_n(d, g + i, m), dot)), d, dx + i, m);
    });
  }
}

template <class T>
void log_softmax_backward(const void* yv, const void* gv, void* dxv, size_t rows, size_t n) {
  using C = ComputeOf<T>;
  const hn::ScalableTag<C> d;
  for (size_t r = 0; r < rows; ++r) {
    const T* y = static_cast<const T*>(yv) + r * n;
    const T* g = static_cast<const T*>(gv) + r * n;
    T* dx = static_cast<T*>(dxv) + r * n;
    RowSum<decltype(d)> sum;
    for_each_vector(d, n, [&](size_t i, auto m) HWY_ATTR { sum.add(load_n(d, g + i, m)); });
    const auto total = hn::Set(d, static_cast<C>(sum.total()));
    for_each_vector(d, n, [&](size_t i, auto m) HWY_ATTR {
      store_n(hn::NegMulAdd(exp(d, load_n(d, y + i, m)), total, load_n(d, g + i, m)), d, dx + i, m);
    });
  }
}

int64_t label_at(const CrossEntropyArgs& args, size_t row) {
  return args.label_dtype == DType::i32 ? static_cast<const int32_t*>(args.labels)[row]
                                        : static_cast<const int64_t*>(args.labels)[row];
}

template <class T>
int64_t cross_entropy(const void* logits, const CrossEntropyArgs& args, void* loss, void* lse, size_t rows,
                      size_t n) {
  using C = ComputeOf<T>;
  const hn::ScalableTag<C> d;
  for (size_t r = 0; r < rows; ++r) {
    const T* x = static_cast<const T*>(logits) + r * n;
    const int64_t label = label_at(args, r);
    const bool ignored = label == args.ignore_index;
    if (!ignored && (label < 0 || label >= static_cast<int64_t>(n))) return static_cast<int64_t>(r);
    const C max = row_max(d, x, n);
    const double log_sum = std::log(sum_exp(d, x, n, max));
    static_cast<C*>(lse)[r] = static_cast<C>(max + log_sum);
    C& out = static_cast<C*>(loss)[r];
    if (ignored) {
      out = 0;
      continue;
    }
    // -log p[j] = (max - x[j]) + log_sum
    double value = (static_cast<double>(max) - static_cast<double>(static_cast<C>(x[label]))) + log_sum;
    if (args.smoothing != 0) {
      const auto maxes = hn::Set(d, max);
      RowSum<decltype(d)> gaps;
      for_each_vector(
          d, n, [&](size_t i, auto m) HWY_ATTR { gaps.add(hn::Sub(maxes, load_or(d, x + i, m, max))); });
      const double all = gaps.total() / static_cast<double>(n) + log_sum;
      value = (1 - args.smoothing) * value + args.smoothing * all;
    }
    out = static_cast<C>(value);
  }
  return -1;
}

template <class T>
void cross_entropy_backward(const void* logits, const CrossEntropyArgs& args, const void* lse,
                            const void* weight, void* dlogits, size_t rows, size_t n) {
  using C = ComputeOf<T>;
  const hn::ScalableTag<C> d;
  const auto even_share = hn::Set(d, static_cast<C>(args.smoothing / static_cast<double>(n)));
  for (size_t r = 0; r < rows; ++r) {
    const T* x = static_cast<const T*>(logits) + r * n;
    T* dx = static_cast<T*>(dlogits) + r * n;
    const int64_t label = label_at(args, r);
    if (label == args.ignore_index) {
      std::memset(static_cast<void*>(dx), 0, n * sizeof(T));
      continue;
    }
    const C row_lse = static_cast<const C*>(lse)[r], row_weight = static_cast<const C*>(weight)[r];
    const auto shift = hn::Set(d, row_lse), scale = hn::Set(d, row_weight);
    // The label's entry is one whole vector element too, computed apart since dx may overwrite x.
    const auto at_label = exp(d, hn::Sub(hn::Set(d, static_cast<C>(x[label])), shift));
    const auto target = hn::Add(even_share, hn::Set(d, static_cast<C>(1 - args.smoothing)));
    for_each_vector(d, n, [&](size_t i, auto m) HWY_ATTR {
      const auto p = exp(d, hn::Sub(load_n(d, x + i, m), shift));
      store_n(hn::Mul(scale, hn::Sub(p, even_share)), d, dx + i, m);
    });
    dx[label] = static_cast<T>(hn::GetLane(hn::Mul(scale, hn::Sub(at_label, target))));
  }
}

template <class T>
constexpr SoftmaxKernels kKernels = {
    &softmax<T>,
    &log_softmax<T>,
    &logsumexp<T>,
    &softmax_backward<T>,
    &log_softmax_backward<T>,
    &cross_entropy<T>,
    &cross_entropy_backward<T>,
};

}  // namespace

const SoftmaxKernels* softmax_for(DType dtype) {
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
HWY_EXPORT(softmax_for);
const SoftmaxKernels* softmax_kernels(DType dtype) { return HWY_DYNAMIC_DISPATCH(softmax_for)(dtype); }
}  // namespace fovea::simd
#endif
