// Copies between strided boxes: what copy, pad, concat and the copies behind view ops have in common.
#pragma once

#include "framework/backend/kernel.h"
#include "graph/ir/op.h"
#include "ops/shared/blocks.h"
#include "ops/shared/simd/copy.h"
#include "ops/shared/strided_loop.h"

namespace fovea {

/// Copies `shape` elements of `bytes` bytes each from strides `from` to strides `to` (in elements), in
/// blocks.
class BoxCopy {
 public:
  BoxCopy(int64_t bytes, const Dims& shape, const Dims& from, const Dims& to);
  void run(const void* from, void* to, ThreadPool& pool) const;

 private:
  simd::StridedCopy copy_;
  Blocks blocks_;
};

/// Calls f with an unsigned integer of `bytes` bytes: for kernels that only move elements.
template <class F>
decltype(auto) dispatch_bytes(int64_t bytes, F&& f) {
  switch (bytes) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    default:
      return f(uint64_t{});
  }
}

/// Kernels of a view op, for where its result must lie in memory of its own. Without a view function, or
/// where that returns false, the operand's elements are copied in row-major order.
void reference_view_copy(Kernel& kernel, ViewFn view);
void cpu_view_copy(Kernel& kernel, ViewFn view);

}  // namespace fovea
