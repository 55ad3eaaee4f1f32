// Sums over the rows of a matrix while they are computed, with equal bits for any number of threads.
#pragma once

#include "framework/backend/kernel.h"
#include "ops/shared/blocks.h"
#include "ops/shared/simd/reduce.h"

namespace fovea {

/// Vectors of n sums each, such as dgamma and dbeta of a norm. Every block of rows adds to vectors of its own
/// in the workspace, one behind the other; when all blocks are done these are added in their order.
class RowSums {
 public:
  /// `vectors` may be 0: then there is no workspace, and nothing to add up.
  RowSums(const Blocks& blocks, int64_t n, int64_t vectors, DType dtype);

  int64_t workspace_bytes() const { return blocks_ * block_bytes(); }
  /// Vector `index` of a block; nullptr where there are none.
  char* of_block(const KernelArgs& args, int64_t block, int64_t index = 0) const {
    if (vectors_ == 0) return nullptr;
    return static_cast<char*>(args.workspace) + block * block_bytes() + index * n_ * bytes_;
  }
  /// All vectors of a block, set to 0: the first of them, nullptr where there are none.
  char* cleared(const KernelArgs& args, int64_t block) const;
  /// out [n] = the sum of vector `index` of all blocks.
  void add_up(const KernelArgs& args, int64_t index, void* out) const;

 private:
  int64_t block_bytes() const { return vectors_ * n_ * bytes_; }

  int64_t blocks_, n_, vectors_, bytes_;
  simd::ReduceColumns sum_;
};

}  // namespace fovea
