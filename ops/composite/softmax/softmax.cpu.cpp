#include "ops/shared/simd/softmax.h"
#include "ops/shared/rows.h"

namespace fovea {

FOVEA_KERNEL(cpu, softmax, rows) {
  kernel.dtypes({DType::f32, DType::f64, DType::f16, DType::bf16})
      .in_place(0)
      .prepare([](const KernelRequest& r) {
        const LaneKernel lanes(r.in[0], r.attrs.integer("axis"), 1);
        const auto softmax = simd::softmax_kernels(r.in[0].dtype)->softmax;
        return make_prepared(
            [=](const KernelArgs& args) {
              lanes.run(args, [&](const void* const* in, void* y, size_t rows, size_t n) {
                softmax(in[0], y, rows, n);
              });
            },
            lanes.workspace());
      });
}

FOVEA_KERNEL(cpu, softmax_backward, rows) {
  kernel.dtypes({DType::f32, DType::f64, DType::f16, DType::bf16})
      .in_place(0)
      .in_place(1)
      .prepare([](const KernelRequest& r) {
        const LaneKernel lanes(r.in[0], r.attrs.integer("axis"), 2);
        const auto backward = simd::softmax_kernels(r.in[0].dtype)->softmax_backward;
        return make_prepared(
            [=](const KernelArgs& args) {
              lanes.run(args, [&](const void* const* in, void* dx, size_t rows, size_t n) {
                backward(in[0], in[1], dx, rows, n);
              });
            },
            lanes.workspace());
      });
}

}  // namespace fovea
