#include "ops/composite/cumprod/cumprod.h"

#include "graph/ir/op.h"
#include "ops/composite/less_equal/less_equal.h"
#include "ops/core/full/full.h"
#include "ops/core/iota/iota.h"
#include "ops/core/permute/permute.h"
#include "ops/core/prod/prod.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/where/where.h"
#include "ops/shared/lanes.h"

namespace fovea {

FOVEA_OP(cumprod) {
  op.doc("Running products along one axis: y_i = x_0 * ... * x_i.")
      .input("x", Types::numeric)
      .attr("axis", -1)
      .infer([](InferContext& c) {
        c.axis("axis", c.rank(0));
        c.output(c.in[0]);
      })
      .decompose([](const OpArgs& a) {
        // y_i = prod_j (j <= i ? x_j : 1), over rows of n elements
        const int64_t axis = a.attrs.integer("axis");
        const Dim n = a.in[0].dim(axis);
        const Tensor before = less_equal(iota({n, n}, 1), iota({n, n}, 0));
        const Tensor last = move_axis(a.in[0], axis, -1);
        const Shape shape = last.shape();
        const Tensor rows = reshape(last, {product(Shape(shape.begin(), shape.end() - 1)), 1, n});
        const Tensor y = prod(where(before, rows, scalar(1, a.in[0].dtype())), {-1});
        return Tensors{move_axis(reshape(y, shape), -1, axis)};
      })
      .sample({In{2, 4}})
      .sample({In{3, 4, 2}}, {{"axis", 1}})
      .sample_error({In{2, 3}}, {{"axis", 2}}, "axis 2 is out of range for rank 2");
}

FOVEA_KERNEL(cpu, cumprod, lanes) {
  running_kernel(
      kernel, 1, [](auto acc, auto x) { return wrapping_mul(acc, x); },
      [](const KernelRequest&) { return false; });
}

Tensor cumprod(const Arg& x, int64_t axis) {
  return apply1("cumprod", {to_tensor(x, DType::f32)}, {{"axis", axis}}, x.source);
}

}  // namespace fovea
