// Philox words and what is made of them.
#include "ops/shared/simd/random.h"

#include <algorithm>

#include "ops/shared/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/simd/random.cpp"
#include "hwy/foreach_target.h"
#include "ops/shared/simd/math-inl.h"
#include "ops/shared/simd/vec-inl.h"

#ifndef FOVEA_OPS_SHARED_SIMD_RANDOM_CONSTANTS_
#define FOVEA_OPS_SHARED_SIMD_RANDOM_CONSTANTS_
namespace fovea::simd {
inline constexpr uint32_t kMul0 = 0xD2511F53, kMul1 = 0xCD9E8D57;
inline constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
inline constexpr size_t kWords = 1024;  // made at a time
}  // namespace fovea::simd
#endif

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {
namespace {

template <class D, class V = hn::Vec<D>>
HWY_INLINE void multiply_wide(D d, V x, V factor, V& high, V& low) {
  const hn::RepartitionToWide<D> wide;
  const auto even = hn::MulEven(x, factor);
  const auto odd = hn::MulEven(hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(wide, x))), factor);
  high = hn::OddEven(hn::BitCast(d, odd), hn::BitCast(d, hn::ShiftRight<32>(even)));
  low = hn::OddEven(hn::BitCast(d, hn::ShiftLeft<32>(odd)), hn::BitCast(d, even));
}

// Words of N vectors of counters from `first` on. Several vectors hide the latency of the rounds.
template <int N, class D>
HWY_INLINE void rounds(D d, const uint32_t key[2], uint64_t ordinal, uint64_t first, uint32_t* out) {
  using V = hn::Vec<D>;
  const auto mul0 = hn::Set(d, kMul0), mul1 = hn::Set(d, kMul1);
  V c0[N], c1[N], c2[N], c3[N];
#pragma GCC unroll 4
  for (int v = 0; v < N; ++v) {
    const uint64_t counter = first + static_cast<uint64_t>(v) * hn::Lanes(d);
    const auto base = hn::Set(d, static_cast<uint32_t>(counter));
    c0[v] = hn::Add(base, hn::Iota(d, 0));
    c1[v] = hn::Set(d, static_cast<uint32_t>(counter >> 32));
    c1[v] = hn::IfThenElse(hn::Lt(c0[v], base), hn::Add(c1[v], hn::Set(d, 1)), c1[v]);  // carry
    c2[v] = hn::Set(d, static_cast<uint32_t>(ordinal));
    c3[v] = hn::Set(d, static_cast<uint32_t>(ordinal >> 32));
  }
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; ++round, k0 += kWeyl0, k1 += kWeyl1) {
    const auto key0 = hn::Set(d, k0), key1 = hn::Set(d, k1);
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      auto high0 = c0[v], low0 = c0[v], high1 = c0[v], low1 = c0[v];
      multiply_wide(d, c0[v], mul0, high0, low0);
      multiply_wide(d, c2[v], mul1, high1, low1);
      c0[v] = hn::Xor(hn::Xor(high1, c1[v]), key0);
      c2[v] = hn::Xor(hn::Xor(high0, c3[v]), key1);
      c1[v] = low1;
      c3[v] = low0;
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < N; ++v)
    hn::StoreInterleaved4(c0[v], c1[v], c2[v], c3[v], d, out + 4 * static_cast<size_t>(v) * hn::Lanes(d));
}

// Words of `blocks` counters from `first` on, rounded up to whole vectors of counters; out has room for
// kWords.
HWY_NOINLINE void make_words(const uint32_t key[2], uint64_t ordinal, uint64_t first, size_t blocks,
                             uint32_t* out) {
  const hn::ScalableTag<uint32_t> d;
  size_t b = 0;
  for (; b + hn::Lanes(d) < blocks; b += 2 * hn::Lanes(d)) rounds<2>(d, key, ordinal, first + b, out + 4 * b);
  for (; b < blocks; b += hn::Lanes(d)) rounds<1>(d, key, ordinal, first + b, out + 4 * b);
}

// Calls use(words, at, m) for the pieces of [begin, end): words of m indices from `at` on. Pieces begin where
// a counter does, except that the first words may be skipped.
template <class F>
HWY_INLINE void for_words(const uint32_t key[2], uint64_t ordinal, uint64_t begin, uint64_t end, F use) {
  alignas(64) uint32_t words[kWords];
  for (uint64_t i = begin; i < end;) {
    const size_t skip = i % 4, m = static_cast<size_t>(std::min<uint64_t>(kWords - skip, end - i));
    make_words(key, ordinal, i / 4, (skip + m + 3) / 4, words);
    use(words, skip, static_cast<size_t>(i - begin), m);
    i += m;
  }
}

template <class D, class V>
HWY_INLINE hn::Vec<D> to_uniform(D d, V words) {
  const hn::RebindToUnsigned<D> du;
  const hn::RebindToSigned<D> di;
  const auto top = hn::ShiftRight<8>(hn::Xor(words, hn::Set(du, 0x80000000u)));
  return hn::Mul(hn::ConvertTo(d, hn::BitCast(di, top)), hn::Set(d, 0x1p-24f));
}

}  // namespace

void bits_for(const uint32_t* key, uint64_t ordinal, uint64_t begin, uint64_t end, int32_t* out) {
  for_words(key, ordinal, begin, end, [&](const uint32_t* words, size_t skip, size_t at, size_t m) HWY_ATTR {
    std::memcpy(out + at, words + skip, m * sizeof(uint32_t));
  });
}

void uniform_for(const uint32_t* key, uint64_t ordinal, uint64_t begin, uint64_t end, float* out) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  for_words(key, ordinal, begin, end, [&](const uint32_t* words, size_t skip, size_t at, size_t m) HWY_ATTR {
    for_each_vector(d, m, [&](size_t i, auto k) HWY_ATTR {
      store_n(to_uniform(d, load_n(du, words + skip + i, k)), d, out + at + i, k);
    });
  });
}

void normal_for(const uint32_t* key, uint64_t ordinal, uint64_t begin, uint64_t end, float* out) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  for_words(key, ordinal, begin, end, [&](uint32_t* words, size_t skip, size_t at, size_t m) HWY_ATTR {
    alignas(64) float values[kWords];
    const size_t used = skip + m;
    for (size_t i = 0; i < used; i += 2 * hn::Lanes(d)) {
      auto even = hn::Zero(du), odd = hn::Zero(du);
      hn::LoadInterleaved2(du, words + i, even, odd);
      const auto one_minus_u = hn::Sub(hn::Set(d, 1), to_uniform(d, even));
      const auto radius = hn::Sqrt(hn::Mul(hn::Set(d, -2), log(d, one_minus_u)));
      const auto angle = hn::Mul(hn::Set(d, 6.28318531f), to_uniform(d, odd));
      hn::StoreInterleaved2(hn::Mul(radius, hn::Cos(d, angle)), hn::Mul(radius, hn::Sin(d, angle)), d,
                            values + i);
    }
    std::memcpy(out + at, values + skip, m * sizeof(float));
  });
}

template <class T>
void dropout_loop(const uint32_t* key, uint64_t ordinal, uint64_t begin, uint64_t end, const T* x, T* y,
                  float p, double scale) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const auto threshold = hn::Set(d, p), scales = hn::Set(d, static_cast<float>(scale));
  for_words(key, ordinal, begin, end, [&](const uint32_t* words, size_t skip, size_t at, size_t m) HWY_ATTR {
    if constexpr (sizeof(T) == 8) {
      for (size_t i = 0; i < m; ++i) {
        const float u = static_cast<float>((words[skip + i] ^ 0x80000000u) >> 8) * 0x1p-24f;
        y[at + i] = u >= p ? x[at + i] * scale : T(0);
      }
    } else {
      for_each_vector(d, m, [&](size_t i, auto k) HWY_ATTR {
        const auto keep = hn::Ge(to_uniform(d, load_n(du, words + skip + i, k)), threshold);
        store_n(hn::IfThenElseZero(keep, hn::Mul(load_n(d, x + at + i, k), scales)), d, y + at + i, k);
      });
    }
  });
}

bool dropout_for(DType dtype, const uint32_t* key, uint64_t ordinal, uint64_t begin, uint64_t end,
                 const void* x, void* y, float p, double scale) {
  const auto run = [&](auto tag) {
    using T = decltype(tag);
    dropout_loop(key, ordinal, begin, end, static_cast<const T*>(x), static_cast<T*>(y), p, scale);
    return true;
  };
  switch (dtype) {
    case DType::f32:
      return run(float{});
    case DType::f64:
      return run(double{});
    case DType::f16:
      return run(f16_t{});
    case DType::bf16:
      return run(bf16_t{});
    default:
      return false;
  }
}

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::simd {
HWY_EXPORT(bits_for);
HWY_EXPORT(uniform_for);
HWY_EXPORT(normal_for);
HWY_EXPORT(dropout_for);

void philox4x32_10(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; ++round, k0 += kWeyl0, k1 += kWeyl1) {
    const uint64_t p0 = uint64_t{kMul0} * c0, p1 = uint64_t{kMul1} * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0,
                   n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c0 = n0;
    c1 = static_cast<uint32_t>(p1);
    c2 = n2;
    c3 = static_cast<uint32_t>(p0);
  }
  out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

namespace {
struct StepKey {
  uint32_t words[4];
  // Rows of a tile ask for the same key one after the other: the last one is kept.
  explicit StepKey(const RandomStream& s) {
    thread_local uint64_t last_key = 0, last_step = 0;
    thread_local uint32_t last[4];
    thread_local bool made = false;
    if (!made || s.key != last_key || s.step != last_step) {
      const uint32_t key[2] = {static_cast<uint32_t>(s.key), static_cast<uint32_t>(s.key >> 32)};
      const uint32_t counter[4] = {static_cast<uint32_t>(s.step), static_cast<uint32_t>(s.step >> 32),
                                   0x65766F46u, 0};
      philox4x32_10(counter, key, last);
      last_key = s.key, last_step = s.step, made = true;
    }
    std::memcpy(words, last, sizeof(words));
  }
};
}  // namespace

void random_bits(const RandomStream& s, uint64_t begin, uint64_t end, int32_t* out) {
  HWY_DYNAMIC_DISPATCH(bits_for)(StepKey(s).words, s.ordinal, begin, end, out);
}
void random_uniform(const RandomStream& s, uint64_t begin, uint64_t end, float* out) {
  HWY_DYNAMIC_DISPATCH(uniform_for)(StepKey(s).words, s.ordinal, begin, end, out);
}
void random_normal(const RandomStream& s, uint64_t begin, uint64_t end, float* out) {
  HWY_DYNAMIC_DISPATCH(normal_for)(StepKey(s).words, s.ordinal, begin, end, out);
}
bool dropout(DType dtype, const RandomStream& s, uint64_t begin, uint64_t end, const void* x, void* y,
             float p, double scale) {
  return HWY_DYNAMIC_DISPATCH(dropout_for)(dtype, StepKey(s).words, s.ordinal, begin, end, x, y, p, scale);
}
}  // namespace fovea::simd
#endif
