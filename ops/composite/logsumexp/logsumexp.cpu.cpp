#include "ops/shared/rows.h"
#include "ops/shared/simd/softmax.h"

namespace fovea {

FOVEA_KERNEL(cpu, logsumexp, rows) {
  kernel.dtypes({DType::f32, DType::f64})
      .when(
          [](const KernelRequest& r) {
            const Ints& axes = r.attrs.ints("axes");
            return axes.empty() || axes.front() == r.in[0].rank() - static_cast<int64_t>(axes.size());
          },
          "the reduced axes are not the last ones")
      .prepare([](const KernelRequest& r) {
        const RowSizes size(r.in[0].shape, static_cast<int64_t>(r.attrs.ints("axes").size()));
        const auto logsumexp = simd::softmax_kernels(r.in[0].dtype)->logsumexp;
        const int64_t bytes = size_of(r.in[0].dtype);
        return make_prepared([=, blocks = size.blocks()](const KernelArgs& args) {
          for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
            logsumexp(args.input<char>(0) + begin * size.n * bytes, args.output<char>(0) + begin * bytes,
                      static_cast<size_t>(end - begin), static_cast<size_t>(size.n));
          });
        });
      });
}

}  // namespace fovea
