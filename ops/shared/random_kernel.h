// CPU kernels that fill a tensor from a random stream.
#pragma once

#include "ops/shared/blocks.h"
#include "ops/shared/random_scope.h"

namespace fovea {

/// Random words (i32) as numbers in [0, 1): (bits ^ 0x80000000 >> 8) * 2^-24, as f64.
Tensor unit_interval(const Tensor& bits);

/// `fill(stream, begin, end, out)` writes elements [begin, end) of the stream.
template <class T>
void random_kernel(Kernel& kernel, void (*fill)(const simd::RandomStream&, uint64_t, uint64_t, T*)) {
  kernel.prepare([fill](const KernelRequest& r) -> std::unique_ptr<PreparedKernel> {
    const Blocks blocks(r.out[0].size(), 16384);
    return make_prepared([fill, blocks, ordinal = r.attrs.integer("ordinal")](const KernelArgs& args) {
      const auto stream = random_stream(args.in[0], ordinal);
      for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
        fill(stream, static_cast<uint64_t>(begin), static_cast<uint64_t>(end), args.output<T>(0) + begin);
      });
    });
  });
}

}  // namespace fovea
