// Matrix products on the CPU, through the oneDNN and Eigen adapter.
#include "framework/backend/cpu/onednn/matmul.h"
#include "framework/backend/kernel.h"
#include "ops/shared/reference.h"

namespace fovea {
namespace {

onednn::MatmulDesc describe(const KernelRequest& r) {
  const OperandSpec &a = r.in[0], &b = r.in[1], &c = r.out[0];
  onednn::MatmulDesc d;
  d.a = a.dtype, d.b = b.dtype, d.c = c.dtype;
  d.m = a.shape[a.rank() - 2], d.k = a.shape.back(), d.n = b.shape.back();
  d.a_row = a.strides[a.rank() - 2], d.a_col = a.strides.back();
  d.b_row = b.strides[b.rank() - 2], d.b_col = b.strides.back();
  d.c_row = d.n;
  const Dims sc = contiguous_strides(c.shape);
  const auto batch_stride = [&](const OperandSpec& x, int64_t axis) -> int64_t {
    const int64_t own = axis - (c.rank() - x.rank());
    return own < 0 || x.shape[own] == 1 ? 0 : x.strides[own];
  };
  d.batch_rank = static_cast<int>(c.rank() - 2);
  for (int i = 0; i < d.batch_rank; ++i) {
    d.batch[i] = c.shape[i];
    d.a_batch[i] = batch_stride(a, i);
    d.b_batch[i] = batch_stride(b, i);
    d.c_batch[i] = sc[i];
  }
  return d;
}

// A batch of A against one matrix B is a single product over all rows, where A's rows follow one another
// evenly.
void join_rows(onednn::MatmulDesc& d) {
  int64_t rows = d.m;
  for (int i = d.batch_rank; i-- > 0;) {
    if (d.b_batch[i] != 0 ||
        (d.batch[i] != 1 && (d.a_batch[i] != rows * d.a_row || d.c_batch[i] != rows * d.c_row)))
      return;
    rows *= d.batch[i];
  }
  d.m = rows;
  d.batch_rank = 0;
}

}  // namespace

FOVEA_KERNEL(cpu, matmul, onednn) {
  kernel.dtypes({DType::f32, DType::f64, DType::bf16, DType::f16})
      .strided()
      .prepare([](const KernelRequest& r) {
        onednn::MatmulDesc d = describe(r);
        join_rows(d);
        const onednn::MatmulPlan plan(d);
        return make_prepared(
            [plan](const KernelArgs& args) {
              onednn::MatmulArgs m;
              m.a = args.in[0], m.b = args.in[1], m.c = args.out[0], m.workspace = args.workspace;
              plan.run(m, args.pool);
            },
            plan.workspace_bytes());
      });
}

}  // namespace fovea
