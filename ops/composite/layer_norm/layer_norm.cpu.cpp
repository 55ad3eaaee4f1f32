#include <cstring>

#include "ops/shared/rows.h"
#include "ops/shared/simd/norm.h"
#include "ops/shared/simd/reduce.h"

namespace fovea {

FOVEA_KERNEL(cpu, layer_norm, rows) {
  kernel.dtypes({DType::f32, DType::f64}).in_place(0).prepare([](const KernelRequest& r) {
    const RowSizes size(r.in[0].shape, r.attrs.integer("dims"));
    const auto forward = simd::norm_kernels(r.in[0].dtype)->layer_norm;
    const int64_t bytes = size_of(r.in[0].dtype);
    return make_prepared([=, blocks = size.blocks(), operands = r.in.size(),
                          eps = r.attrs.number("eps")](const KernelArgs& args) {
      const void* gamma = operands > 1 ? args.in[1] : nullptr;
      const void* beta = operands > 2 ? args.in[2] : nullptr;
      for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
        const int64_t at = begin * size.n * bytes;
        forward(args.input<char>(0) + at, gamma, beta, args.output<char>(0) + at,
                args.output<char>(1) + begin * bytes, args.output<char>(2) + begin * bytes,
                static_cast<size_t>(end - begin), static_cast<size_t>(size.n), eps);
      });
    });
  });
}

// Each block of rows sums dgamma and dbeta into rows of its own; these are added in order.
FOVEA_KERNEL(cpu, layer_norm_backward, rows) {
  kernel.dtypes({DType::f32, DType::f64}).in_place(0).in_place(1).prepare([](const KernelRequest& r) {
    const RowSizes size(r.in[1].shape, r.attrs.integer("dims"));
    const bool affine = r.in.size() > 4;
    const auto backward = simd::norm_kernels(r.in[1].dtype)->layer_norm_backward;
    const auto add_up = simd::find_reduce_columns("sum", r.in[1].dtype);
    const Blocks blocks = size.blocks(16384, affine ? 32 : 256);
    const int64_t bytes = size_of(r.in[1].dtype), pair = 2 * size.n * bytes;
    return make_prepared(
        [=](const KernelArgs& args) {
          char* sums = static_cast<char*>(args.workspace);
          for_blocks(args.pool, blocks, [&](int64_t block, int64_t begin, int64_t end) {
            const int64_t at = begin * size.n * bytes;
            char* own = affine ? sums + block * pair : nullptr;
            if (affine) std::memset(own, 0, static_cast<size_t>(pair));
            backward(args.input<char>(0) + at, args.input<char>(1) + at, affine ? args.in[4] : nullptr,
                     args.input<char>(2) + begin * bytes, args.input<char>(3) + begin * bytes,
                     args.output<char>(0) + at, own, affine ? own + size.n * bytes : nullptr,
                     static_cast<size_t>(end - begin), static_cast<size_t>(size.n));
          });
          if (!affine) return;
          const auto n = static_cast<size_t>(size.n), count = static_cast<size_t>(blocks.count);
          add_up(sums, 2 * n, args.out[1], count, n);
          add_up(sums + size.n * bytes, 2 * n, args.out[2], count, n);
        },
        affine ? blocks.count * pair : 0);
  });
}

}  // namespace fovea
