#include "ops/composite/sigmoid/sigmoid.h"

#include "ops/core/exp/exp.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(sigmoid) {
  op.doc("y = 1 / (1 + e^-x), the logistic function, elementwise.")
      .input("x", Types::floating)
      .pointwise()
      .decompose([](const OpArgs& a) { return Tensors{1.0 / (1.0 + exp(-a.in[0]))}; })
      .gradient([](const GradArgs& a) {
        return Tensors{apply1("sigmoid_backward", {a.out[0], a.grad[0]})};
      })
      .sample({In({2, 3}).range(-3, 3)})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_OP(sigmoid_backward) {
  op.doc("dx = g y (1 - y): the gradient of sigmoid from its result y and the gradient g of y.")
      .input("y", Types::floating)
      .input("g", Types::floating)
      .pointwise()
      .decompose([](const OpArgs& a) { return Tensors{a.in[1] * (a.in[0] * (1.0 - a.in[0]))}; })
      .sample({In{2, 3}, In{2, 3}})
      .sample_error({In{2, 3}, In{2, 4}}, {}, "axis 1 is 3 against 4");
}

FOVEA_KERNEL(cpu, sigmoid, simd) { simd_unary(kernel); }
FOVEA_KERNEL(cpu, sigmoid_backward, simd) { simd_binary(kernel); }

Tensor sigmoid(const Arg& x) { return apply1("sigmoid", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
