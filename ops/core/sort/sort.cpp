#include "ops/core/sort/sort.h"

#include "framework/backend/kernel.h"
#include "graph/ir/op.h"
#include "ops/composite/scatter_along_axis/scatter_along_axis.h"
#include "ops/core/full/full.h"
#include "ops/shared/ordering.h"

namespace fovea {

FOVEA_OP(sort) {
  op.doc("Sorted values along one axis and where they stood; stable. NaN counts as largest.")
      .input("x")
      .attr("axis", -1)
      .attr("descending", false)
      .output("values")
      .output("indices")
      .infer([](InferContext& c) {
        c.axis("axis", c.rank(0));
        c.output(c.in[0]);
        c.output(DType::i64, c.shape(0));
      })
      .gradient([](const GradArgs& a) {
        if (!a.grad[0].defined()) return Tensors{Tensor()};
        return Tensors{scatter_along_axis(zeros_like(a.in[0]), a.out[1], a.grad[0], a.attrs.integer("axis"))};
      })
      .sample({In({2, 5}).separate()})
      .sample({In({4, 3, 2}).separate()}, {{"axis", 1}, {"descending", true}})
      .sample({ints({3, 6}, 0, 3)}, {{"axis", 0}})
      .sample_error({In{2, 3}}, {{"axis", 2}}, "axis 2 is out of range for rank 2");
}

FOVEA_KERNEL(reference, sort, lanes) {
  kernel.priority(0).strided();
  ordering_kernel(
      kernel, [](const KernelRequest& r) { return r.in[0].shape[r.attrs.integer("axis")]; },
      [](const KernelRequest& r) { return r.attrs.flag("descending"); });
}

Sorted sort(const Arg& x, int64_t axis, bool descending) {
  Tensors y =
      apply("sort", {to_tensor(x, DType::f32)}, {{"axis", axis}, {"descending", descending}}, x.source);
  return {y[0], y[1]};
}

Tensor argsort(const Arg& x, int64_t axis, bool descending) { return sort(x, axis, descending).indices; }

}  // namespace fovea
