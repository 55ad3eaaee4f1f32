#include "ops/shared/rows.h"

namespace fovea {
namespace {

constexpr int64_t kTileBytes = 1 << 17;  // of one operand: a tile stays in the second cache

simd::StridedCopy copy_2d(int64_t rows, int64_t cols, int64_t from_row, int64_t from_col, int64_t to_row,
                          int64_t to_col, int64_t bytes) {
  const int64_t dims[] = {rows, cols}, from[] = {from_row, from_col}, to[] = {to_row, to_col};
  return simd::StridedCopy(2, dims, from, to, static_cast<size_t>(bytes));
}

}  // namespace

LaneKernel::Copies::Copies(int64_t n, int64_t width, int64_t inner, int64_t bytes)
    : load(copy_2d(n, width, inner, 1, 1, n, bytes)), store(copy_2d(n, width, 1, n, inner, 1, bytes)) {}

LaneKernel::LaneKernel(const OperandSpec& x, int64_t axis, int inputs)
    : n_(x.shape[axis]), bytes_(size_of(x.dtype)), inputs_(inputs) {
  for (int64_t d = 0; d < x.rank(); ++d)
    if (d != axis) (d < axis ? outer_ : inner_) *= x.shape[d];
  const int64_t n = std::max<int64_t>(1, n_);
  if (inner_ == 1) {
    blocks_ = Blocks(outer_, std::max<int64_t>(1, 16384 / n));
  } else if (x.size() > 0) {
    width_ = std::min(inner_, std::max<int64_t>(16, kTileBytes / (n * bytes_) / 16 * 16));
    tiles_ = (inner_ + width_ - 1) / width_;
    blocks_ = Blocks(outer_ * tiles_, std::max<int64_t>(1, 16384 / (n * width_)), 64);
    whole_.emplace(n_, width_, inner_, bytes_);
    last_.emplace(n_, inner_ - (tiles_ - 1) * width_, inner_, bytes_);
  }
}

}  // namespace fovea
