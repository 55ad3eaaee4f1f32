// Strided copies: loops are ordered and merged once, then one of five inner kernels runs.
#include "ops/shared/simd/copy.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "framework/base/error.h"
#include "ops/shared/simd/targets.h"

#include "hwy/highway.h"

namespace fovea::simd {
namespace {

constexpr int64_t kUnitElements = 16384;  // aimed at for one unit
constexpr int64_t kTransposeTile = 16;

template <class T>
void copy_rows(const T* src, int64_t src_row, T* dst, int64_t dst_row, int64_t rows, int64_t n) {
  for (int64_t r = 0; r < rows; ++r)
    std::memcpy(dst + r * dst_row, src + r * src_row, static_cast<size_t>(n) * sizeof(T));
}

template <class T>
void fill_rows(const T* src, int64_t src_row, T* dst, int64_t dst_row, int64_t rows, int64_t n) {
  for (int64_t r = 0; r < rows; ++r) std::fill_n(dst + r * dst_row, n, src[r * src_row]);
}

template <class T>
void strided_rows(const T* src, int64_t src_row, int64_t src_step, T* dst, int64_t dst_row, int64_t dst_step,
                  int64_t rows, int64_t n) {
  for (int64_t r = 0; r < rows; ++r) {
    const T* from = src + r * src_row;
    T* to = dst + r * dst_row;
    for (int64_t i = 0; i < n; ++i) to[i * dst_step] = from[i * src_step];
  }
}

}  // namespace
}  // namespace fovea::simd

HWY_BEFORE_NAMESPACE();
namespace fovea::simd {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// dst[r][i] = src[i][r] for a 4 x 4 block of 32-bit elements.
HWY_INLINE void transpose_4x4(const uint32_t* src, int64_t src_step, uint32_t* dst, int64_t dst_row) {
  const hn::FixedTag<uint32_t, 4> d;
  const hn::FixedTag<uint64_t, 2> d64;
  const auto a = hn::LoadU(d, src), b = hn::LoadU(d, src + src_step);
  const auto c = hn::LoadU(d, src + 2 * src_step), e = hn::LoadU(d, src + 3 * src_step);
  const auto ab_low = hn::BitCast(d64, hn::InterleaveLower(d, a, b));
  const auto ab_high = hn::BitCast(d64, hn::InterleaveUpper(d, a, b));
  const auto ce_low = hn::BitCast(d64, hn::InterleaveLower(d, c, e));
  const auto ce_high = hn::BitCast(d64, hn::InterleaveUpper(d, c, e));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, ab_low, ce_low)), d, dst);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, ab_low, ce_low)), d, dst + dst_row);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, ab_high, ce_high)), d, dst + 2 * dst_row);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, ab_high, ce_high)), d, dst + 3 * dst_row);
}

// dst[r * dst_row + i] = src[i * src_step + r] for r < rows, i < n, tile by tile so that both sides stay in
// cache lines.
template <class T>
void transpose(const T* src, int64_t src_step, T* dst, int64_t dst_row, int64_t rows, int64_t n) {
  for (int64_t i0 = 0; i0 < n; i0 += kTransposeTile) {
    const int64_t i1 = std::min(n, i0 + kTransposeTile);
    for (int64_t r0 = 0; r0 < rows; r0 += kTransposeTile) {
      const int64_t r1 = std::min(rows, r0 + kTransposeTile);
      int64_t r = r0;
      if constexpr (sizeof(T) == 4) {
        const int64_t whole_r = r0 + (r1 - r0) / 4 * 4, whole_i = i0 + (i1 - i0) / 4 * 4;
        for (; r < whole_r; r += 4) {
          for (int64_t i = i0; i < whole_i; i += 4)
            transpose_4x4(src + i * src_step + r, src_step, dst + r * dst_row + i, dst_row);
          for (int64_t i = whole_i; i < i1; ++i)
            for (int64_t k = 0; k < 4; ++k) dst[(r + k) * dst_row + i] = src[i * src_step + r + k];
        }
      }
      for (; r < r1; ++r)
        for (int64_t i = i0; i < i1; ++i) dst[r * dst_row + i] = src[i * src_step + r];
    }
  }
}

}  // namespace
}  // namespace fovea::simd
HWY_AFTER_NAMESPACE();

namespace fovea::simd {

StridedCopy::StridedCopy(int rank, const int64_t* dims, const int64_t* src_strides,
                         const int64_t* dst_strides, size_t element_size)
    : element_size_(element_size) {
  if (rank < 0 || rank > kMaxRank) invalid("a strided copy has rank 0 to 8, not " + std::to_string(rank));
  if (element_size != 1 && element_size != 2 && element_size != 4 && element_size != 8)
    invalid("a strided copy moves elements of 1, 2, 4 or 8 bytes, not " + std::to_string(element_size));
  bool empty = false;
  for (int i = 0; i < rank; ++i) {
    if (dims[i] < 0) invalid("dim " + std::to_string(i) + " of a strided copy is " + std::to_string(dims[i]));
    empty |= dims[i] == 0;
    if (dims[i] == 1) continue;
    dims_[rank_] = dims[i];
    src_[rank_] = src_strides[i];
    dst_[rank_] = dst_strides[i];
    ++rank_;
  }
  if (empty) return;  // no units

  // Walk the destination in the order of its memory; merge neighbours that are one run on both sides.
  int order[kMaxRank];
  for (int i = 0; i < rank_; ++i) order[i] = i;
  const auto size = [](int64_t stride) { return stride < 0 ? -stride : stride; };
  std::stable_sort(order, order + rank_, [&](int a, int b) { return size(dst_[a]) > size(dst_[b]); });
  int64_t d[kMaxRank], s[kMaxRank], t[kMaxRank];
  int count = 0;
  for (int i = 0; i < rank_; ++i) {
    const int k = order[i];
    if (count > 0 && dst_[k] * dims_[k] == t[count - 1] && src_[k] * dims_[k] == s[count - 1]) {
      d[count - 1] *= dims_[k];
      s[count - 1] = src_[k];
      t[count - 1] = dst_[k];
    } else {
      d[count] = dims_[k], s[count] = src_[k], t[count] = dst_[k];
      ++count;
    }
  }
  while (count < 2) {  // the kernels want a row and an inner loop
    for (int i = count; i > 0; --i) d[i] = d[i - 1], s[i] = s[i - 1], t[i] = t[i - 1];
    d[0] = 1, s[0] = 0, t[0] = 0;
    if (++count == 1) s[0] = t[0] = 1;
  }
  const int inner = count - 1;
  if (t[inner] == 1 && s[inner] == 1) {
    kind_ = Kind::Rows;
  } else if (t[inner] == 1 && s[inner] == 0) {
    kind_ = Kind::Fill;
  } else {
    kind_ = Kind::Strided;
    for (int i = 0; i < inner && t[inner] == 1; ++i) {
      if (s[i] != 1 || d[i] < 4) continue;
      kind_ = Kind::Transpose;  // the loop that is contiguous in the source becomes the row loop
      std::rotate(d + i, d + i + 1, d + inner);
      std::rotate(s + i, s + i + 1, s + inner);
      std::rotate(t + i, t + i + 1, t + inner);
      break;
    }
  }
  rank_ = count;
  std::copy_n(d, count, dims_);
  std::copy_n(s, count, src_);
  std::copy_n(t, count, dst_);

  // One run from end to end: its elements are the rows, so that it can be cut anywhere.
  const int row = count - 2;
  if ((kind_ == Kind::Rows || kind_ == Kind::Fill) && count == 2 && dims_[row] == 1) {
    kind_ = Kind::Run;
    std::swap(dims_[row], dims_[inner]);
    src_[row] = src_[inner];
    dst_[row] = 1;
  }
  tile_rows_ = std::max<int64_t>(1, kUnitElements / dims_[inner]);
  if (kind_ == Kind::Transpose)
    tile_rows_ = (tile_rows_ + kTransposeTile - 1) / kTransposeTile * kTransposeTile;
  tile_rows_ = std::min(tile_rows_, dims_[row]);
  row_tiles_ = (dims_[row] + tile_rows_ - 1) / tile_rows_;
  units_ = row_tiles_;
  for (int i = 0; i < row; ++i) units_ *= dims_[i];
  unit_bytes_ = tile_rows_ * dims_[inner] * static_cast<int64_t>(element_size_);
}

void StridedCopy::run(const void* src, void* dst, int64_t first, int64_t last) const {
  if (first >= last) return;
  const int row = rank_ - 2, inner = rank_ - 1;
  for (int64_t unit = first; unit < last; ++unit) {
    int64_t rest = unit / row_tiles_;
    const int64_t r0 = unit % row_tiles_ * tile_rows_, rows = std::min(tile_rows_, dims_[row] - r0);
    int64_t from = r0 * src_[row], to = r0 * dst_[row];
    for (int i = row - 1; i >= 0; --i) {
      const int64_t at = rest % dims_[i];
      rest /= dims_[i];
      from += at * src_[i];
      to += at * dst_[i];
    }
    const auto go = [&](auto tag) {
      using T = decltype(tag);
      const T* s = static_cast<const T*>(src) + from;
      T* t = static_cast<T*>(dst) + to;
      switch (kind_) {
        case Kind::Run:
          if (src_[row] == 1) {
            std::memcpy(t, s, static_cast<size_t>(rows) * sizeof(T));
          } else {
            std::fill_n(t, rows, *s);
          }
          break;
        case Kind::Rows:
          copy_rows(s, src_[row], t, dst_[row], rows, dims_[inner]);
          break;
        case Kind::Fill:
          fill_rows(s, src_[row], t, dst_[row], rows, dims_[inner]);
          break;
        case Kind::Transpose:
          transpose(s, src_[inner], t, dst_[row], rows, dims_[inner]);
          break;
        case Kind::Strided:
          strided_rows(s, src_[row], src_[inner], t, dst_[row], dst_[inner], rows, dims_[inner]);
          break;
      }
    };
    switch (element_size_) {
      case 1:
        go(uint8_t{});
        break;
      case 2:
        go(uint16_t{});
        break;
      case 4:
        go(uint32_t{});
        break;
      default:
        go(uint64_t{});
        break;
    }
  }
}

}  // namespace fovea::simd
