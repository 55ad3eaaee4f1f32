#include "ops/core/top_k/top_k.h"

#include "framework/backend/kernel.h"
#include "graph/ir/op.h"
#include "ops/composite/scatter_along_axis/scatter_along_axis.h"
#include "ops/core/full/full.h"
#include "ops/shared/ordering.h"

namespace fovea {

FOVEA_OP(top_k) {
  op.doc("The k largest (or smallest) elements along one axis, best first, and where they stood.")
      .input("x")
      .required_attr("k", int64_t{1})
      .attr("axis", -1)
      .attr("largest", true)
      .output("values")
      .output("indices")
      .infer([](InferContext& c) {
        const int64_t axis = c.axis("axis", c.rank(0)), k = c.attrs.integer("k");
        Shape shape = c.shape(0);
        if (k < 0 || (shape[axis].is_const() && k > shape[axis].value()))
          c.fail("k = " + std::to_string(k) + " is out of range for axis " + std::to_string(axis) +
                 " of size " + shape[axis].str());
        shape[axis] = k;
        c.output(c.dtype(0), shape);
        c.output(DType::i64, shape);
      })
      .gradient([](const GradArgs& a) {
        if (!a.grad[0].defined()) return Tensors{Tensor()};
        return Tensors{scatter_along_axis(zeros_like(a.in[0]), a.out[1], a.grad[0], a.attrs.integer("axis"))};
      })
      .sample({In({2, 5}).separate()}, {{"k", 2}})
      .sample({In({4, 3, 2}).separate()}, {{"k", 3}, {"axis", 0}, {"largest", false}})
      .sample_error({In{2, 3}}, {{"k", 4}}, "k = 4 is out of range for axis 1 of size 3")
      .sample_error({In{2, 3}}, {{"k", 1}, {"axis", 2}}, "axis 2 is out of range for rank 2");
}

FOVEA_KERNEL(reference, top_k, lanes) {
  kernel.priority(0).strided();
  ordering_kernel(
      kernel, [](const KernelRequest& r) { return r.attrs.integer("k"); },
      [](const KernelRequest& r) { return r.attrs.flag("largest"); });
}

Sorted top_k(const Arg& x, int64_t k, int64_t axis, bool largest) {
  Tensors y =
      apply("top_k", {to_tensor(x, DType::f32)}, {{"k", k}, {"axis", axis}, {"largest", largest}}, x.source);
  return {y[0], y[1]};
}

}  // namespace fovea
