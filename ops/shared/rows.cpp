#include "ops/shared/rows.h"

#include "ops/shared/box_copy.h"

namespace fovea {

LaneKernel::LaneKernel(const OperandSpec& x, int64_t axis, int inputs)
    : n_(x.shape[axis]), bytes_(size_of(x.dtype)), inputs_(inputs) {
  for (int64_t d = 0; d < x.rank(); ++d)
    if (d != axis) (d < axis ? outer_ : inner_) *= x.shape[d];
  const int64_t n = std::max<int64_t>(1, n_);
  if (inner_ == 1) {
    blocks_ = Blocks(outer_, std::max<int64_t>(1, 16384 / n));
  } else if (x.size() > 0) {
    tiles_ = (inner_ + kTile - 1) / kTile;
    blocks_ = Blocks(outer_ * tiles_, std::max<int64_t>(1, 16384 / (n * kTile)), 32);
  }
}

// Lane j of the tile becomes row j.
void LaneKernel::load(int64_t tile, const char* from, char* rows) const {
  dispatch_bytes(bytes_, [&](auto unit) {
    using T = decltype(unit);
    const T* x = reinterpret_cast<const T*>(from) + start(tile);
    T* y = reinterpret_cast<T*>(rows);
    const int64_t lanes = width(tile);
    for (int64_t i = 0; i < n_; ++i)
      for (int64_t j = 0; j < lanes; ++j) y[j * n_ + i] = x[i * inner_ + j];
  });
}

void LaneKernel::store(int64_t tile, const char* rows, char* to) const {
  dispatch_bytes(bytes_, [&](auto unit) {
    using T = decltype(unit);
    const T* x = reinterpret_cast<const T*>(rows);
    T* y = reinterpret_cast<T*>(to) + start(tile);
    const int64_t lanes = width(tile);
    for (int64_t i = 0; i < n_; ++i)
      for (int64_t j = 0; j < lanes; ++j) y[i * inner_ + j] = x[j * n_ + i];
  });
}

}  // namespace fovea
