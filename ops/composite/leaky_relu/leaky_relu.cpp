#include "ops/composite/leaky_relu/leaky_relu.h"

#include "ops/core/less/less.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"

namespace fovea {

FOVEA_OP(leaky_relu) {
  op.doc("y = x where x > 0, else negative_slope * x; the gradient at 0 is negative_slope * g.")
      .input("x", Types::floating)
      .attr("negative_slope", 0.01, "slope below 0")
      .pointwise()
      .decompose([](const OpArgs& a) {
        const Tensor& x = a.in[0];
        return Tensors{where(less(0, x), x, a.attrs.number("negative_slope") * x)};
      })
      .gradient([](const GradArgs& a) {
        const Tensor& g = a.grad[0];
        return Tensors{where(less(0, a.in[0]), g, a.attrs.number("negative_slope") * g)};
      })
      .sample({In({2, 3}).separate()})
      .sample({In({4}).separate()}, {{"negative_slope", 0.2}})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

Tensor leaky_relu(const Arg& x, double negative_slope) {
  return apply1("leaky_relu", {to_tensor(x, DType::f32)}, {{"negative_slope", negative_slope}}, x.source);
}

}  // namespace fovea
