#include "ops/shared/row_sums.h"
#include "ops/shared/rows.h"
#include "ops/shared/simd/norm.h"

namespace fovea {

FOVEA_KERNEL(cpu, rms_norm, rows) {
  kernel.dtypes({DType::f32, DType::f64}).in_place(0).prepare([](const KernelRequest& r) {
    const RowSizes size(r.in[0].shape, r.attrs.integer("dims"));
    const auto forward = simd::norm_kernels(r.in[0].dtype)->rms_norm;
    const int64_t bytes = size_of(r.in[0].dtype);
    return make_prepared([=, blocks = size.blocks(), affine = r.in.size() > 1,
                          eps = r.attrs.number("eps")](const KernelArgs& args) {
      for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
        const int64_t at = begin * size.n * bytes;
        forward(args.input<char>(0) + at, affine ? args.in[1] : nullptr, args.output<char>(0) + at,
                args.output<char>(1) + begin * bytes, static_cast<size_t>(end - begin),
                static_cast<size_t>(size.n), eps);
      });
    });
  });
}

FOVEA_KERNEL(cpu, rms_norm_backward, rows) {
  kernel.dtypes({DType::f32, DType::f64}).in_place(0).in_place(1).prepare([](const KernelRequest& r) {
    const RowSizes size(r.in[1].shape, r.attrs.integer("dims"));
    const bool affine = r.in.size() > 3;
    const auto backward = simd::norm_kernels(r.in[1].dtype)->rms_norm_backward;
    const Blocks blocks = size.blocks(16384, affine ? 32 : 256);
    const RowSums sums(blocks, size.n, affine ? 1 : 0, r.in[1].dtype);
    const int64_t bytes = size_of(r.in[1].dtype);
    return make_prepared(
        [=](const KernelArgs& args) {
          for_blocks(args.pool, blocks, [&](int64_t block, int64_t begin, int64_t end) {
            const int64_t at = begin * size.n * bytes;
            backward(args.input<char>(0) + at, args.input<char>(1) + at, affine ? args.in[3] : nullptr,
                     args.input<char>(2) + begin * bytes, args.output<char>(0) + at,
                     sums.cleared(args, block), static_cast<size_t>(end - begin),
                     static_cast<size_t>(size.n));
          });
          if (affine) sums.add_up(args, 0, args.out[1]);
        },
        sums.workspace_bytes());
  });
}

}  // namespace fovea
