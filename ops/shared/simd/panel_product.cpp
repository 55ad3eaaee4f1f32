// A strip of rows times a panel in registers: per step of the depth a few vectors of the panel and one number
// a row. The panel streams from the second cache, the strip of A stays in the first.
#include "ops/shared/simd/panel_product.h"

#include <algorithm>

#include "ops/shared/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/simd/panel_product.cpp"
#include "hwy/foreach_target.h"
#include "ops/shared/simd/vec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {
namespace {

// Vectors that are summed at once, and rows: with the panel's vectors and one of A they fill the registers.
#if HWY_TARGET == HWY_AVX3
constexpr int kMostVectors = 4;
constexpr int strip_rows(int vectors) { return vectors == 4 ? 6 : 8; }
#else
constexpr int kMostVectors = 2;
constexpr int strip_rows(int) { return 6; }
#endif
// Between so many steps the panel to come is fetched a little further.
constexpr int64_t kStepsPerFetch = 32;

// Lines of 64 bytes that are fetched, so many each time.
struct Fetch {
  const char* at = nullptr;
  int64_t lines = 0, left = 0;
  void some() {
    const int64_t count = std::min(lines, left);
    for (int64_t i = 0; i < count; ++i, at += 64) __builtin_prefetch(at, 0, 2);
    left -= count;
  }
};

template <class T>
struct Strip {
  const T* a;
  int64_t a_row, a_piece, a_jump, depth;
  const T* b;
  int64_t b_row;
  T* c;
  int64_t c_row;
  bool add;
  Fetch next, next_too;
};

template <class T, int W, int R>
void strip_product(Strip<T>& s) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  V sum[R][W];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < W; ++n) sum[r][n] = s.add ? hn::LoadU(d, s.c + r * s.c_row + n * lanes) : hn::Zero(d);
  // C of the strip to come.
  for (int r = 0; r < R; ++r)
    for (int n = 0; n < W; ++n) __builtin_prefetch(s.c + (R + r) * s.c_row + n * lanes, 1, 3);
  const T *a = s.a, *b = s.b;
  const int64_t a_row = s.a_row, b_row = s.b_row;
  Fetch next = s.next, next_too = s.next_too;
  for (int64_t piece = 0; piece < s.depth; piece += s.a_piece, a += s.a_jump) {
    const int64_t piece_end = std::min(s.depth, piece + s.a_piece);
    for (int64_t k = piece; k < piece_end; k += kStepsPerFetch) {
      next.some();
      next_too.some();
      const int64_t end = std::min(piece_end, k + kStepsPerFetch);
      for (int64_t step = k; step < end; ++step, ++a, b += b_row) {
        V right[W];
#pragma GCC unroll 4
        for (int n = 0; n < W; ++n) right[n] = hn::LoadU(d, b + n * lanes);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          const V left = hn::Set(d, a[r * a_row]);
#pragma GCC unroll 4
          for (int n = 0; n < W; ++n) sum[r][n] = hn::MulAdd(left, right[n], sum[r][n]);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < W; ++n) hn::StoreU(sum[r][n], d, s.c + r * s.c_row + n * lanes);
  s.next = next, s.next_too = next_too;
}

template <class T>
using StripFn = void (*)(Strip<T>&);

template <class T, int W>
StripFn<T> strip_for(int64_t rows) {
  static constexpr StripFn<T> kStrips[] = {
    &strip_product<T, W, 1>,
    &strip_product<T, W, 2>,
    &strip_product<T, W, 3>,
    &strip_product<T, W, 4>,
    &strip_product<T, W, 5>,
    &strip_product<T, W, 6>,
#if HWY_TARGET == HWY_AVX3
    &strip_product < T,
    W,
    strip_rows(W) < 7 ? 6 : 7 >,
    &strip_product<T, W, strip_rows(W)>
#endif
  };
  return kStrips[rows - 1];
}

template <class T>
StripFn<T> strip_for(int64_t vectors, int64_t rows) {
#if HWY_TARGET == HWY_AVX3
  if (vectors == 4) return strip_for<T, 4>(rows);
  if (vectors == 3) return strip_for<T, 3>(rows);
#endif
  return vectors == 2 ? strip_for<T, 2>(rows) : strip_for<T, 1>(rows);
}

// `rows` rows times the first `columns`, a multiple of 16.
template <class T>
void strip_of_panel(int64_t rows, int64_t columns, int64_t most, Strip<T>& strip) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  Strip<T> s = strip;
  for (int64_t left = columns / lanes; left > 0;) {
    const int64_t vectors = std::min(left, most);
    strip_for<T>(vectors, rows)(s);
    s.b += vectors * lanes, s.c += vectors * lanes;
    left -= vectors;
  }
  strip.next = s.next, strip.next_too = s.next_too;
}

int64_t pieces(int64_t size, int64_t piece) { return (size + piece - 1) / piece; }

// Spread evenly over so many times.
template <class Ahead>
Fetch fetch_of(const Ahead& ahead, int64_t times) {
  if (ahead.at == nullptr || times <= 0) return {};
  const int64_t lines = ahead.size * static_cast<int64_t>(sizeof(*ahead.at)) / 64;
  return {reinterpret_cast<const char*>(ahead.at), pieces(lines, times), lines};
}

template <class T>
void panel_product_of(const PanelProduct<T>& p) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  const int64_t whole_columns = (p.columns + 15) / 16 * 16, all = whole_columns / lanes;
  // Double panels are cut in two rather than into four vectors and two.
  const int64_t most = all % kMostVectors == 0 || kMostVectors < 3 ? kMostVectors
                       : all % 3 == 0                              ? 3
                                                                   : kMostVectors;
  const int64_t strip = strip_rows(static_cast<int>(std::min(all, most)));
  const int64_t strips = (p.rows + strip - 1) / strip;
  Strip<T> s{};
  s.a_row = p.a_row, s.a_jump = p.a_jump, s.depth = p.depth;
  s.a_piece = p.a_piece == 0 ? std::max<int64_t>(p.depth, 1) : p.a_piece;
  s.b_row = p.panel_row;
  s.c_row = p.c_row, s.add = p.add;
  const int64_t fetches = strips * pieces(all, most) * pieces(s.depth, s.a_piece) *
                          pieces(std::min(s.depth, s.a_piece), kStepsPerFetch);
  s.next = fetch_of(p.next, fetches), s.next_too = fetch_of(p.next_too, fetches);
  for (int64_t i = 0; i < strips; ++i) {
    const int64_t first = p.rows * i / strips, rows = p.rows * (i + 1) / strips - first;
    s.a = p.a + first * p.a_row;
    s.b = p.panel;
    s.c = p.c + first * p.c_row;
    if (p.columns == whole_columns) {
      strip_of_panel(rows, whole_columns, most, s);
      continue;
    }
    // C ends before the panel's last vectors do.
    constexpr int64_t kMostColumns = 64;
    T whole[8 * kMostColumns];
    for (int64_t r = 0; p.add && r < rows; ++r) {
      std::copy_n(s.c + r * s.c_row, p.columns, whole + r * kMostColumns);
      std::fill_n(whole + r * kMostColumns + p.columns, whole_columns - p.columns, T(0));
    }
    Strip<T> inner = s;
    inner.c = whole, inner.c_row = kMostColumns;
    strip_of_panel(rows, whole_columns, most, inner);
    s.next = inner.next, s.next_too = inner.next_too;
    for (int64_t r = 0; r < rows; ++r) std::copy_n(whole + r * kMostColumns, p.columns, s.c + r * s.c_row);
  }
}

}  // namespace

void panel_product_f32(const PanelProduct<float>& p) { panel_product_of(p); }
void panel_product_f64(const PanelProduct<double>& p) { panel_product_of(p); }

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::simd {
HWY_EXPORT(panel_product_f32);
HWY_EXPORT(panel_product_f64);
void panel_product(const PanelProduct<float>& p) { HWY_DYNAMIC_DISPATCH(panel_product_f32)(p); }
void panel_product(const PanelProduct<double>& p) { HWY_DYNAMIC_DISPATCH(panel_product_f64)(p); }
}  // namespace fovea::simd
#endif
