// Products of small tiles in registers, and packing. Compiled once for each instruction set.
#if defined(FOVEA_OPS_SHARED_SIMD_ATTENTION_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_OPS_SHARED_SIMD_ATTENTION_TILE_INL_H_
#undef FOVEA_OPS_SHARED_SIMD_ATTENTION_TILE_INL_H_
#else
#define FOVEA_OPS_SHARED_SIMD_ATTENTION_TILE_INL_H_
#endif

#include <algorithm>

#include "ops/shared/simd/attention.h"
#include "ops/shared/simd/vec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {

// Registers of a tile: kStrip rows of up to kWide vectors are summed at once.
#if HWY_TARGET == HWY_AVX3
inline constexpr int kStrip = 6, kWide = 4;
#else
inline constexpr int kStrip = 6, kWide = 2;
#endif

// One register tile of C (R rows of N vectors) = [scale] C + A B, with a(r, k) at a[r * a_row + k * a_step].
template <class T>
struct TileArgs {
  int64_t depth;
  const T* a;
  int64_t a_row, a_step;
  const T* b;
  int64_t b_row;
  T* c;
  int64_t c_row;
  bool add;
  const T* scale;  // one a row, or null
};

template <int R, int N, class T>
void tile_product(const TileArgs<T>& t) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  V sum[R][N];
  if (t.add) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sum[r][n] = hn::LoadU(d, t.c + r * t.c_row + n * lanes);
    if (t.scale != nullptr) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const V scale = hn::Set(d, t.scale[r]);
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) sum[r][n] = hn::Mul(sum[r][n], scale);
      }
    }
  } else {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sum[r][n] = hn::Zero(d);
  }
  const T *a = t.a, *b = t.b;
  const int64_t a_row = t.a_row, a_step = t.a_step, b_row = t.b_row;
  for (int64_t k = 0; k < t.depth; ++k, a += a_step, b += b_row) {
    V right[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) right[n] = hn::LoadU(d, b + n * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const V left = hn::Set(d, a[r * a_row]);
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sum[r][n] = hn::MulAdd(left, right[n], sum[r][n]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) hn::StoreU(sum[r][n], d, t.c + r * t.c_row + n * lanes);
}

template <class T>
using TileFn = void (*)(const TileArgs<T>&);

template <class T, int N>
constexpr TileFn<T> kColumnOfTiles[kStrip] = {&tile_product<1, N, T>, &tile_product<2, N, T>,
                                              &tile_product<3, N, T>, &tile_product<4, N, T>,
                                              &tile_product<5, N, T>, &tile_product<6, N, T>};

template <class T>
HWY_INLINE void run_tile(int64_t rows, int64_t vectors, const TileArgs<T>& t) {
  switch (vectors) {
    case 1:
      return kColumnOfTiles<T, 1>[rows - 1](t);
    case 2:
      return kColumnOfTiles<T, 2>[rows - 1](t);
#if HWY_TARGET == HWY_AVX3
    case 3:
      return kColumnOfTiles<T, 3>[rows - 1](t);
    case 4:
      return kColumnOfTiles<T, 4>[rows - 1](t);
#endif
    default:
      return;
  }
}

// The keys that rows [first, last) read together.
struct Span {
  int64_t begin, end;
};
inline Span keys_of(KeyRanges ranges, int64_t first, int64_t last, int64_t keys) {
  if (ranges.begin == nullptr) return {0, keys};
  int64_t begin = keys, end = 0;
  for (int64_t r = first; r < last; ++r) {
    if (ranges.begin[r] >= ranges.end[r]) continue;
    begin = std::min<int64_t>(begin, ranges.begin[r]);
    end = std::max<int64_t>(end, ranges.end[r]);
  }
  return {std::min(begin, end), end};
}
// The rows that read any of the keys [first, last).
inline Span rows_of(KeyRanges ranges, int64_t first, int64_t last, int64_t rows) {
  if (ranges.begin == nullptr) return {0, rows};
  int64_t begin = rows, end = 0;
  for (int64_t r = 0; r < rows; ++r) {
    if (std::max<int64_t>(ranges.begin[r], first) >= std::min<int64_t>(ranges.end[r], last)) continue;
    begin = std::min(begin, r);
    end = r + 1;
  }
  return {std::min(begin, end), end};
}

template <class T>
void scores(KeyRanges ranges, int64_t rows, int64_t keys, int64_t depth, Rows<const T> a, const T* panels,
            Rows<T> s) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t panel = lanes * kWide;
  for (int64_t p = 0; p < keys; p += panel)
    for (int64_t r = 0; r < rows; r += kStrip) {
      const int64_t count = std::min<int64_t>(kStrip, rows - r);
      const Span span = keys_of(ranges, r, r + count, keys);
      const int64_t begin = std::max<int64_t>(span.begin - p, 0) / lanes;
      const int64_t end = (std::min(span.end - p, panel) + lanes - 1) / lanes;
      if (begin >= end) continue;
      const int64_t at = begin * lanes;
      run_tile<T>(count, end - begin,
                  {depth, a.data + r * a.row, a.row, 1, panels + p * depth + at, panel,
                   s.data + r * s.row + p + at, s.row, false, nullptr});
    }
}

// One lane a row: every sum is the chain of multiply-adds that tile_product makes of one element.
template <class T>
void row_dots(int64_t rows, int64_t depth, Rows<const T> x, Rows<const T> y, T* to) {
  const hn::CappedTag<T, 1> d;
  using V = hn::Vec<decltype(d)>;
  constexpr int64_t kChains = 8;  // at once, for the latency of one
  int64_t r = 0;
  for (; r + kChains <= rows; r += kChains) {
    V sum[kChains];
    for (int64_t n = 0; n < kChains; ++n) sum[n] = hn::Zero(d);
    const T *a = x.data + r * x.row, *b = y.data + r * y.row;
    for (int64_t c = 0; c < depth; ++c) {
#pragma GCC unroll 8
      for (int64_t n = 0; n < kChains; ++n)
        sum[n] = hn::MulAdd(hn::Set(d, a[n * x.row + c]), hn::Set(d, b[n * y.row + c]), sum[n]);
    }
    for (int64_t n = 0; n < kChains; ++n) to[r + n] = hn::GetLane(sum[n]);
  }
  for (; r < rows; ++r) {
    V sum = hn::Zero(d);
    for (int64_t c = 0; c < depth; ++c)
      sum = hn::MulAdd(hn::Set(d, x.data[r * x.row + c]), hn::Set(d, y.data[r * y.row + c]), sum);
    to[r] = hn::GetLane(sum);
  }
}

// Vectors of a row of channels in groups of nearly equal size, at most kWide each.
template <class F>
HWY_INLINE void for_groups(int64_t vectors, F f) {
  const int64_t groups = (vectors + kWide - 1) / kWide;
  int64_t at = 0;
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t end = vectors * (g + 1) / groups;
    f(at, end - at);
    at = end;
  }
}

template <class T>
void values(KeyRanges ranges, int64_t rows, int64_t keys, Rows<const T> p, Rows<const T> v, int64_t channels,
            bool fresh, const T* correction, Rows<T> o) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for_groups(channels / lanes, [&](int64_t group, int64_t vectors) HWY_ATTR {
    for (int64_t r = 0; r < rows; r += kStrip) {
      const int64_t count = std::min<int64_t>(kStrip, rows - r);
      const Span span = keys_of(ranges, r, r + count, keys);
      run_tile<T>(count, vectors,
                  {span.end - span.begin, p.data + r * p.row + span.begin, p.row, 1,
                   v.data + span.begin * v.row + group * lanes, v.row, o.data + r * o.row + group * lanes,
                   o.row, !fresh, correction == nullptr ? nullptr : correction + r});
    }
  });
}

template <class T>
void transposed(KeyRanges ranges, int64_t rows, int64_t keys, Rows<const T> p, Rows<const T> x,
                int64_t channels, bool fresh, Rows<T> o) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for_groups(channels / lanes, [&](int64_t group, int64_t vectors) HWY_ATTR {
    for (int64_t j = 0; j < keys; j += kStrip) {
      const int64_t count = std::min<int64_t>(kStrip, keys - j);
      const Span span = rows_of(ranges, j, j + count, rows);
      if (span.begin >= span.end && !fresh) continue;
      run_tile<T>(count, vectors,
                  {span.end - span.begin, p.data + span.begin * p.row + j, 1, p.row,
                   x.data + span.begin * x.row + group * lanes, x.row, o.data + j * o.row + group * lanes,
                   o.row, !fresh, nullptr});
    }
  });
}

#if HWY_TARGET == HWY_AVX3
inline constexpr int64_t kBlock = 16;
using Check = __m512;
HWY_INLINE Check no_check() { return _mm512_setzero_ps(); }
HWY_INLINE bool is_finite(Check c) { return _mm512_cmp_ps_mask(c, c, _CMP_ORD_Q) == 0xFFFF; }

// Transposes kBlock x kBlock floats, those behind the first `rows` rows being 0; rows of `from` are `row`
// apart, rows of `to` are `to_row` apart. Adds 0
// * x to `check`, which stays 0 for finite values.
HWY_INLINE void transpose_block(const float* from, int64_t row, int64_t rows, float* to, int64_t to_row,
                                Check& check) {
  alignas(64) static const float zeros[kBlock] = {};
  __m512 x[16], y[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    x[i] = _mm512_loadu_ps(i < rows ? from + i * row : zeros);
    check = _mm512_fmadd_ps(x[i], _mm512_setzero_ps(), check);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
    y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    x[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(y[i]), _mm512_castps_pd(y[i + 2])));
    x[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(y[i]), _mm512_castps_pd(y[i + 2])));
    x[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(y[i + 1]), _mm512_castps_pd(y[i + 3])));
    x[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(y[i + 1]), _mm512_castps_pd(y[i + 3])));
  }
  // x[4 b + c] holds in its block q column 4 q + c of rows 4 b to 4 b + 3.
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const __m512 ab = _mm512_shuffle_f32x4(x[c], x[4 + c], 0x88),
                 cd = _mm512_shuffle_f32x4(x[8 + c], x[12 + c], 0x88);
    const __m512 ef = _mm512_shuffle_f32x4(x[c], x[4 + c], 0xDD),
                 gh = _mm512_shuffle_f32x4(x[8 + c], x[12 + c], 0xDD);
    _mm512_storeu_ps(to + c * to_row, _mm512_shuffle_f32x4(ab, cd, 0x88));
    _mm512_storeu_ps(to + (8 + c) * to_row, _mm512_shuffle_f32x4(ab, cd, 0xDD));
    _mm512_storeu_ps(to + (4 + c) * to_row, _mm512_shuffle_f32x4(ef, gh, 0x88));
    _mm512_storeu_ps(to + (12 + c) * to_row, _mm512_shuffle_f32x4(ef, gh, 0xDD));
  }
}
#elif HWY_TARGET == HWY_AVX2
inline constexpr int64_t kBlock = 8;
using Check = __m256;
HWY_INLINE Check no_check() { return _mm256_setzero_ps(); }
HWY_INLINE bool is_finite(Check c) { return _mm256_movemask_ps(_mm256_cmp_ps(c, c, _CMP_ORD_Q)) == 0xFF; }

HWY_INLINE void transpose_block(const float* from, int64_t row, int64_t rows, float* to, int64_t to_row,
                                Check& check) {
  alignas(64) static const float zeros[kBlock] = {};
  __m256 x[8], y[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    x[i] = _mm256_loadu_ps(i < rows ? from + i * row : zeros);
    check = _mm256_fmadd_ps(x[i], _mm256_setzero_ps(), check);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    y[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
    y[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    x[i] = _mm256_shuffle_ps(y[i], y[i + 2], 0x44);
    x[i + 1] = _mm256_shuffle_ps(y[i], y[i + 2], 0xEE);
    x[i + 2] = _mm256_shuffle_ps(y[i + 1], y[i + 3], 0x44);
    x[i + 3] = _mm256_shuffle_ps(y[i + 1], y[i + 3], 0xEE);
  }
  // x[4 b + c] holds in its half q column 4 q + c of rows 4 b to 4 b + 3.
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    _mm256_storeu_ps(to + c * to_row, _mm256_permute2f128_ps(x[c], x[4 + c], 0x20));
    _mm256_storeu_ps(to + (4 + c) * to_row, _mm256_permute2f128_ps(x[c], x[4 + c], 0x31));
  }
}
#endif

// One panel: to[d * panel + j] = from[j * row + d * column] for j in [0, keys), 0 behind.
template <class T>
bool pack_panel(const T* from, int64_t row, int64_t column, int64_t keys, int64_t depth, int64_t panel,
                T* to) {
  int64_t done = 0;  // channels
  bool finite = true;
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
  if constexpr (sizeof(T) == 4) {
    if (column == 1) {
      done = depth / kBlock * kBlock;
      Check check = no_check();
      for (int64_t j = 0; j < panel; j += kBlock)
        for (int64_t c = 0; c < done; c += kBlock)
          transpose_block(from + j * row + c, row, std::min(kBlock, keys - j), to + c * panel + j, panel,
                          check);
      finite = is_finite(check);
    }
  }
#endif
  T check = 0;
  for (int64_t c = done; c < depth; ++c) {
    for (int64_t j = 0; j < keys; ++j) {
      const T x = from[j * row + c * column];
      check += x * T(0);
      to[c * panel + j] = x;
    }
    std::fill(to + c * panel + keys, to + (c + 1) * panel, T(0));
  }
  return finite && check == 0;
}

template <class T>
bool pack(const T* from, int64_t row, int64_t column, int64_t keys, int64_t depth, T* to) {
  const hn::ScalableTag<T> d;
  const int64_t panel = static_cast<int64_t>(hn::Lanes(d)) * kWide;
  bool finite = true;
  for (int64_t p = 0; p < keys; p += panel)
    finite &=
        pack_panel(from + p * row, row, column, std::min(panel, keys - p), depth, panel, to + p * depth);
  return finite;
}

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
