#include "ops/shared/row_sums.h"
#include "ops/shared/rows.h"
#include "ops/shared/simd/norm.h"

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

FOVEA_KERNEL(cpu, layer_norm_backward, rows) {
  kernel.dtypes({DType::f32, DType::f64}).in_place(0).in_place(1).prepare([](const KernelRequest& r) {
    const RowSizes size(r.in[1].shape, r.attrs.integer("dims"));
    const bool affine = r.in.size() > 4;
    const auto backward = simd::norm_kernels(r.in[1].dtype)->layer_norm_backward;
    const Blocks blocks = size.blocks(16384, affine ? 32 : 256);
    const RowSums sums(blocks, size.n, affine ? 2 : 0, r.in[1].dtype);
    const int64_t bytes = size_of(r.in[1].dtype);
    return make_prepared(
        [=](const KernelArgs& args) {
          for_blocks(args.pool, blocks, [&](int64_t block, int64_t begin, int64_t end) {
            const int64_t at = begin * size.n * bytes;
            char* dgamma = sums.cleared(args, block);
            backward(args.input<char>(0) + at, args.input<char>(1) + at, affine ? args.in[4] : nullptr,
                     args.input<char>(2) + begin * bytes, args.input<char>(3) + begin * bytes,
                     args.output<char>(0) + at, dgamma, sums.of_block(args, block, 1),
                     static_cast<size_t>(end - begin), static_cast<size_t>(size.n));
          });
          if (!affine) return;
          sums.add_up(args, 0, args.out[1]);
          sums.add_up(args, 1, args.out[2]);
        },
        sums.workspace_bytes());
  });
}

}  // namespace fovea
