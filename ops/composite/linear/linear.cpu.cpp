// x weight^T + bias as one matrix product over all rows, the bias added while a tile is in the cache.
#include "framework/backend/cpu/onednn/matmul.h"
#include "framework/backend/kernel.h"

namespace fovea {

FOVEA_KERNEL(cpu, linear, onednn) {
  kernel.dtypes({DType::f32, DType::f64, DType::bf16, DType::f16});
  kernel.strided(0b010).prepare([](const KernelRequest& r) {
    const OperandSpec &x = r.in[0], &w = r.in[1];
    onednn::MatmulDesc d;
    d.a = x.dtype, d.b = w.dtype, d.c = r.out[0].dtype;
    d.k = w.shape[1], d.n = w.shape[0], d.m = 1;
    for (int64_t i = 0; i + 1 < x.rank(); ++i) d.m *= x.shape[i];
    d.a_row = d.k, d.a_col = 1;
    d.b_row = w.strides[1], d.b_col = w.strides[0];
    d.c_row = d.n;
    d.bias = r.in.size() > 2;
    const onednn::MatmulPlan plan(d);
    return make_prepared(
        [plan, bias = d.bias](const KernelArgs& args) {
          onednn::MatmulArgs m;
          m.a = args.in[0], m.b = args.in[1], m.c = args.out[0], m.workspace = args.workspace;
          if (bias) m.bias = args.in[2];
          plan.run(m, args.pool);
        },
        plan.workspace_bytes());
  });
}

}  // namespace fovea
