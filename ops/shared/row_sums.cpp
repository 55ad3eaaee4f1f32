#include "ops/shared/row_sums.h"

#include <cstring>

namespace fovea {

RowSums::RowSums(const Blocks& blocks, int64_t n, int64_t vectors, DType dtype)
    : blocks_(blocks.count),
      n_(n),
      vectors_(vectors),
      bytes_(size_of(dtype)),
      sum_(simd::find_reduce_columns("sum", dtype)) {}

char* RowSums::cleared(const KernelArgs& args, int64_t block) const {
  char* first = of_block(args, block);
  if (first != nullptr) std::memset(first, 0, static_cast<size_t>(block_bytes()));
  return first;
}

void RowSums::add_up(const KernelArgs& args, int64_t index, void* out) const {
  const auto n = static_cast<size_t>(n_);
  sum_(of_block(args, 0, index), static_cast<size_t>(vectors_) * n, out, static_cast<size_t>(blocks_), n);
}

}  // namespace fovea
