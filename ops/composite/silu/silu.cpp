#include "ops/composite/silu/silu.h"

#include "ops/composite/sigmoid/sigmoid.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(silu) {
  op.doc("y = x / (1 + e^-x), also called swish, elementwise.")
      .input("x", Types::floating)
      .pointwise()
      .decompose([](const OpArgs& a) { return Tensors{a.in[0] * sigmoid(a.in[0])}; })
      .gradient([](const GradArgs& a) {
        return Tensors{apply1("silu_backward", {a.in[0], a.grad[0]})};
      })
      .sample({In({2, 3}).range(-3, 3)})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_OP(silu_backward) {
  op.doc(
        "dx = g s (1 + x (1 - s)) with s = sigmoid(x): the gradient of silu from its operand x and the "
        "gradient g of its result.")
      .input("x", Types::floating)
      .input("g", Types::floating)
      .pointwise()
      .decompose([](const OpArgs& a) {
        const Tensor &x = a.in[0], &g = a.in[1];
        const Tensor s = sigmoid(x);
        return Tensors{g * (s * (1.0 + x * (1.0 - s)))};
      })
      .sample({In{2, 3}, In{2, 3}})
      .sample_error({In{2, 3}, In{2, 4}}, {}, "axis 1 is 3 against 4");
}

FOVEA_KERNEL(cpu, silu, simd) { simd_unary(kernel); }
FOVEA_KERNEL(cpu, silu_backward, simd) { simd_binary(kernel); }

Tensor silu(const Arg& x) { return apply1("silu", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
