// Kernels over rows: tensors seen as lanes of n values along one axis, or as rows over the last axes.
#pragma once

#include <optional>

#include "framework/backend/kernel.h"
#include "ops/shared/blocks.h"
#include "ops/shared/simd/copy.h"

namespace fovea {

/// The dtype of values that belong to a whole row (means, log-sums, losses): f64 for f64, else f32.
inline DType row_dtype(DType t) { return t == DType::f64 ? DType::f64 : DType::f32; }
inline bool is_half(DType t) { return t == DType::f16 || t == DType::bf16; }

/// Rows over the last axes of a tensor.
struct RowSizes {
  RowSizes(const Dims& shape, int64_t last_axes) {
    const size_t split = shape.size() - static_cast<size_t>(last_axes);
    for (size_t d = 0; d < shape.size(); ++d) (d < split ? rows : n) *= shape[d];
  }
  /// Blocks of whole rows with about `elements` elements each.
  Blocks blocks(int64_t elements = 16384, int64_t most = 256) const {
    return Blocks(rows, std::max<int64_t>(1, elements / std::max<int64_t>(1, n)), most);
  }
  int64_t rows = 1, n = 1;
};

/// Runs a row function on the lanes along `axis` of operands that all have one shape and dtype. Lanes that
/// are not contiguous go through the workspace, a tile of neighbours at a time.
class LaneKernel {
 public:
  /// f(inputs, output, rows, n), all of them contiguous rows; the output may be the first input.
  LaneKernel(const OperandSpec& x, int64_t axis, int inputs);
  int64_t workspace() const { return inner_ == 1 ? 0 : blocks_.count * tile_bytes() * inputs_; }

  template <class F>
  void run(const KernelArgs& args, F&& f) const {
    for_blocks(args.pool, blocks_, [&](int64_t block, int64_t begin, int64_t end) {
      const void* in[kMost];
      if (inner_ == 1) {
        const int64_t at = begin * n_ * bytes_;
        for (int i = 0; i < inputs_; ++i) in[i] = args.input<char>(i) + at;
        return f(in, args.output<char>(0) + at, static_cast<size_t>(end - begin), static_cast<size_t>(n_));
      }
      char* scratch = static_cast<char*>(args.workspace) + block * tile_bytes() * inputs_;
      for (int64_t tile = begin; tile < end; ++tile) {
        const bool last = tile % tiles_ == tiles_ - 1;
        const Copies& copies = last ? *last_ : *whole_;
        for (int i = 0; i < inputs_; ++i) {
          in[i] = scratch + i * tile_bytes();
          copies.load.run(args.input<char>(i) + start(tile), scratch + i * tile_bytes());
        }
        f(in, scratch, static_cast<size_t>(last ? inner_ - (tiles_ - 1) * width_ : width_),
          static_cast<size_t>(n_));
        copies.store.run(scratch, args.output<char>(0) + start(tile));
      }
    });
  }

 private:
  static constexpr int kMost = 4;
  /// Between `width` lanes and as many rows.
  struct Copies {
    Copies(int64_t n, int64_t width, int64_t inner, int64_t bytes);
    simd::StridedCopy load, store;
  };
  int64_t tile_bytes() const { return width_ * n_ * bytes_; }
  int64_t start(int64_t tile) const {
    return (tile / tiles_ * n_ * inner_ + tile % tiles_ * width_) * bytes_;
  }

  int64_t outer_ = 1, n_, inner_ = 1, width_ = 0, tiles_ = 1, bytes_;
  int inputs_;
  Blocks blocks_;
  std::optional<Copies> whole_, last_;
};

}  // namespace fovea
