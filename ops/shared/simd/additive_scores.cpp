// Additive attention scores.
#include "ops/shared/simd/additive_scores.h"

#include "ops/shared/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/simd/additive_scores.cpp"
#include "hwy/foreach_target.h"
#include "ops/shared/simd/math-inl.h"
#include "ops/shared/simd/vec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {
namespace {

template <class T>
void scores(const AdditiveRows& rows, const void* kv, const void* qv, const void* wv, void* yv) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d), n = rows.n;
  const T *q = static_cast<const T*>(qv), *w = static_cast<const T*>(wv);
  for (size_t j = 0; j < rows.count; ++j) {
    const T* k = static_cast<const T*>(kv) + j * rows.k_step;
    const auto value = [&](size_t i, auto m)
                           HWY_ATTR { return tanh(d, hn::Add(load_n(d, k + i, m), load_n(d, q + i, m))); };
    RowSum<decltype(d)> a, b;  // two, so that neither waits for the other
    size_t i = 0;
    for (; n - i >= 2 * lanes; i += 2 * lanes) {
      const auto first = value(i, All()), second = value(i + lanes, All());
      a.add_product(first, load(d, w + i));
      b.add_product(second, load(d, w + i + lanes));
    }
    if (n - i >= lanes) a.add_product(value(i, All()), load(d, w + i)), i += lanes;
    if (i < n) b.add_product(value(i, n - i), load_tail(d, w + i, n - i));
    static_cast<T*>(yv)[j * rows.score_step] = static_cast<T>(a.total() + b.total());
  }
}

template <bool kAdd, class T>
void backward_rows(const AdditiveRows& rows, const T* kv, const T* q, const T* w, const T* g, T* dkv, T* dq,
                   T* dw) {
  const hn::ScalableTag<T> d;
  for (size_t j = 0; j < rows.count; ++j) {
    const T* k = kv + j * rows.k_step;
    T* dk = dkv + j * rows.k_step;
    const auto gj = hn::Set(d, g[j * rows.score_step]);
    for_each_vector(d, rows.n, [&](size_t i, auto m) HWY_ATTR {
      const auto t = tanh(d, hn::Add(load_n(d, k + i, m), load_n(d, q + i, m)));
      const auto slope = hn::NegMulAdd(t, t, hn::Set(d, 1));
      const auto h = hn::Mul(hn::Mul(gj, load_n(d, w + i, m)), slope);
      store_n(hn::MulAdd(gj, t, load_n(d, dw + i, m)), d, dw + i, m);
      store_n(hn::Add(h, load_n(d, dq + i, m)), d, dq + i, m);
      if constexpr (kAdd) {
        store_n(hn::Add(h, load_n(d, dk + i, m)), d, dk + i, m);
      } else {
        store_n(h, d, dk + i, m);
      }
    });
  }
}

template <class T>
void backward(const AdditiveRows& rows, const void* k, const void* q, const void* w, const void* g, void* dk,
              void* dq, void* dw, bool add) {
  const auto run = add ? &backward_rows<true, T> : &backward_rows<false, T>;
  run(rows, static_cast<const T*>(k), static_cast<const T*>(q), static_cast<const T*>(w),
      static_cast<const T*>(g), static_cast<T*>(dk), static_cast<T*>(dq), static_cast<T*>(dw));
}

template <class T>
constexpr AdditiveScoresKernels kKernels = {&scores<T>, &backward<T>};

}  // namespace

const AdditiveScoresKernels* additive_scores_for(DType dtype) {
  if (dtype == DType::f32) return &kKernels<float>;
  if (dtype == DType::f64) return &kKernels<double>;
  return nullptr;
}

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::simd {
HWY_EXPORT(additive_scores_for);
const AdditiveScoresKernels* additive_scores_kernels(DType dtype) {
  return HWY_DYNAMIC_DISPATCH(additive_scores_for)(dtype);
}
}  // namespace fovea::simd
#endif
