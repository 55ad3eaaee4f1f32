#include "ops/composite/softmax/softmax.h"

#include "generated/ops.h"
#include "ops/shared/gradients.h"

namespace fovea {

FOVEA_OP(softmax) {
  op.doc("y_i = exp(x_i - max x) / sum_j exp(x_j - max x) along one axis. A row of only -inf gives NaN.")
      .input("x", Types::floating)
      .attr("axis", -1, "the axis along which y sums to 1")
      .infer([](InferContext& c) {
        c.axis("axis", c.rank(0));
        c.output(c.in[0]);
      })
      .decompose([](const OpArgs& a) {
        const int64_t axis = a.attrs.integer("axis");
        if (a.in[0].dim(axis) == Dim(0)) return Tensors{a.in[0]};  // empty rows have no largest element
        const Tensor e = exp(a.in[0] - stop_gradient(max(a.in[0], {axis}, true)));
        return Tensors{e / sum(e, {axis}, true)};
      })
      .gradient([](const GradArgs& a) {
        return Tensors{
            apply1("softmax_backward", {a.out[0], a.grad[0]}, {{"axis", a.attrs.integer("axis")}})};
      })
      .sample({In{2, 5}})
      .sample({In{2, 3, 4}}, {{"axis", 1}})
      .sample_error({In{2, 3}}, {{"axis", 2}}, "axis 2 is out of range for rank 2");
}

FOVEA_OP(softmax_backward) {
  op.doc(
        "dx = y * (g - sum(y * g)) along one axis: the gradient of softmax from its result y and y's "
        "gradient g.")
      .input("y", Types::floating)
      .input("g", Types::floating)
      .attr("axis", -1)
      .infer([](InferContext& c) {
        c.axis("axis", c.rank(0));
        c.same_dtype(0, 1);
        c.same_shape(0, 1);
        c.output(c.in[0]);
      })
      .decompose([](const OpArgs& a) {
        const Tensor yg = a.in[0] * a.in[1];
        return Tensors{yg - a.in[0] * sum(yg, {a.attrs.integer("axis")}, true)};
      })
      .sample({In{2, 5}, In{2, 5}})
      .sample_error({In{2, 5}, In{2, 4}}, {}, "y and g differ in shape");
}

Tensor softmax(const Arg& x, int64_t axis) {
  return apply1("softmax", {to_tensor(x, DType::f32)}, {{"axis", axis}}, x.source);
}

}  // namespace fovea
