// Copies between strided views: transposes, broadcasts, slices, concatenation.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fovea::simd {

/// A prepared copy dst[i * dst_strides] = src[i * src_strides] over all indices i. Strides count elements; a
/// source stride of 0 repeats. Views must not overlap, and no two destination elements may coincide.
class StridedCopy {
 public:
  /// rank <= 8, dims >= 0, element_size 1, 2, 4 or 8; InvalidArgument otherwise.
  StridedCopy(int rank, const int64_t* dims, const int64_t* src_strides, const int64_t* dst_strides,
              size_t element_size);

  /// The work comes in this many units, cut by the shape alone; each writes its own destination elements.
  int64_t units() const { return units_; }
  /// About how many bytes one unit writes, for making coarse blocks.
  int64_t unit_bytes() const { return unit_bytes_; }
  /// Copies units [first, last); the pointers are those of index 0.
  void run(const void* src, void* dst, int64_t first, int64_t last) const;
  void run(const void* src, void* dst) const { run(src, dst, 0, units_); }

 private:
  enum class Kind { Run, Rows, Fill, Transpose, Strided };
  static constexpr int kMaxRank = 8;

  // After normalising: dims_[rank_ - 1] is `inner`, dims_[rank_ - 2] is `row`, the rest are outer loops.
  Kind kind_ = Kind::Rows;
  int rank_ = 0;
  int64_t dims_[kMaxRank], src_[kMaxRank], dst_[kMaxRank];
  size_t element_size_;
  int64_t tile_rows_ = 1, row_tiles_ = 1, units_ = 0, unit_bytes_ = 0;
};

}  // namespace fovea::simd
