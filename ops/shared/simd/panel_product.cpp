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

// Rows and vectors that are summed at once: with the panel's vectors and one of A they fill the registers.
#if HWY_TARGET == HWY_AVX3
constexpr int kStrip = 8, kWide = 3;
#else
constexpr int kStrip = 6, kWide = 2;
#endif
// Between so many steps the panel to come is fetched a little further.
constexpr int64_t kStepsPerFetch = 32;

struct Strip {
  const float* a;
  int64_t a_row, depth;
  const float* b;
  float* c;
  int64_t c_row;
  bool add;
  const float* fetch;
  int64_t lines_per_fetch;  // of 64 bytes
};

template <int R>
void strip_product(const Strip& s) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  V sum[R][kWide];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < kWide; ++n)
      sum[r][n] = s.add ? hn::LoadU(d, s.c + r * s.c_row + n * lanes) : hn::Zero(d);
  const float *a = s.a, *b = s.b, *fetch = s.fetch;
  const int64_t a_row = s.a_row;
  for (int64_t k = 0; k < s.depth; k += kStepsPerFetch) {
    for (int64_t i = 0; i < s.lines_per_fetch; ++i, fetch += 16) __builtin_prefetch(fetch, 0, 2);
    const int64_t end = std::min(s.depth, k + kStepsPerFetch);
    for (int64_t step = k; step < end; ++step, ++a, b += kPanelColumns) {
      V right[kWide];
#pragma GCC unroll 4
      for (int n = 0; n < kWide; ++n) right[n] = hn::LoadU(d, b + n * lanes);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const V left = hn::Set(d, a[r * a_row]);
#pragma GCC unroll 4
        for (int n = 0; n < kWide; ++n) sum[r][n] = hn::MulAdd(left, right[n], sum[r][n]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < kWide; ++n) hn::StoreU(sum[r][n], d, s.c + r * s.c_row + n * lanes);
}

using StripFn = void (*)(const Strip&);
constexpr StripFn kStrips[] = {&strip_product<1>, &strip_product<2>, &strip_product<3>,
                               &strip_product<4>, &strip_product<5>, &strip_product<6>,
#if HWY_TARGET == HWY_AVX3
                               &strip_product<7>, &strip_product<8>
#endif
};

// `rows` rows times all of the panel's columns.
void strip_of_panel(int64_t rows, Strip s) {
  const int64_t width = static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>())) * kWide;
  for (int64_t at = 0; at < kPanelColumns; at += width) {
    kStrips[rows - 1](s);
    s.b += width, s.c += width;
    s.lines_per_fetch = 0;
  }
}

}  // namespace

void panel_product_of(const PanelProduct& p) {
  const int64_t strips = (p.rows + kStrip - 1) / kStrip;
  const int64_t fetches = strips * ((p.depth + kStepsPerFetch - 1) / kStepsPerFetch);
  const int64_t lines = p.depth * kPanelColumns / 16;
  const int64_t per_fetch = p.next == nullptr || fetches == 0 ? 0 : (lines + fetches - 1) / fetches;
  const int64_t per_strip = fetches == 0 ? 0 : per_fetch * (fetches / strips);
  for (int64_t i = 0; i < strips; ++i) {
    const int64_t first = p.rows * i / strips, rows = p.rows * (i + 1) / strips - first;
    // Past the end of what comes next nothing is fetched.
    const bool fetch = per_fetch > 0 && (i + 1) * per_strip <= lines;
    const Strip s{p.a + first * p.a_row, p.a_row, p.depth, p.panel,
                  p.c + first * p.c_row, p.c_row, p.add,   fetch ? p.next + i * per_strip * 16 : nullptr,
                  fetch ? per_fetch : 0};
    if (p.columns == kPanelColumns) {
      strip_of_panel(rows, s);
      continue;
    }
    // The last panel of a matrix has columns that C does not have.
    float whole[kStrip * kPanelColumns];
    for (int64_t r = 0; p.add && r < rows; ++r) {
      std::copy_n(s.c + r * s.c_row, p.columns, whole + r * kPanelColumns);
      std::fill_n(whole + r * kPanelColumns + p.columns, kPanelColumns - p.columns, 0.0f);
    }
    Strip inner = s;
    inner.c = whole, inner.c_row = kPanelColumns;
    strip_of_panel(rows, inner);
    for (int64_t r = 0; r < rows; ++r) std::copy_n(whole + r * kPanelColumns, p.columns, s.c + r * s.c_row);
  }
}

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::simd {
HWY_EXPORT(panel_product_of);
void panel_product(const PanelProduct& p) { HWY_DYNAMIC_DISPATCH(panel_product_of)(p); }
}  // namespace fovea::simd
#endif
