#include "ops/core/tanh/tanh.h"

#include <cmath>

#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(tanh) {
  op.doc("y = tanh x, the hyperbolic tangent, elementwise.")
      .input("x", Types::floating)
      .pointwise()
      .gradient([](const GradArgs& a) {
        return Tensors{apply1("tanh_backward", {a.out[0], a.grad[0]})};
      })
      .sample({In({2, 3}).range(-2, 2)})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_OP(tanh_backward) {
  op.doc("dx = g (1 - y^2): the gradient of tanh from its result y and the gradient g of y.")
      .input("y", Types::floating)
      .input("g", Types::floating)
      .pointwise()
      .decompose([](const OpArgs& a) { return Tensors{a.in[1] * (1 - a.in[0] * a.in[0])}; })
      .sample({In{2, 3}, In{2, 3}})
      .sample_error({In{2, 3}, In{2, 4}}, {}, "axis 1 is 3 against 4");
}

FOVEA_KERNEL(reference, tanh, loops) {
  reference_unary(kernel, [](double x) { return std::tanh(x); });
}
FOVEA_KERNEL(cpu, tanh, simd) { simd_unary(kernel); }
FOVEA_KERNEL(cpu, tanh_backward, simd) { simd_binary(kernel); }

Tensor tanh(const Arg& x) { return apply1("tanh", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
