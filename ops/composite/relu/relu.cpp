#include "ops/composite/relu/relu.h"

#include "ops/composite/less_equal/less_equal.h"
#include "ops/core/maximum/maximum.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(relu) {
  op.doc("y = max(x, 0), elementwise; NaN stays NaN; the gradient at 0 is 0.")
      .input("x", Types::numeric)
      .pointwise()
      .decompose([](const OpArgs& a) { return Tensors{maximum(a.in[0], 0)}; })
      .gradient([](const GradArgs& a) {
        return Tensors{apply1("relu_backward", {a.out[0], a.grad[0]})};
      })
      .sample({In({2, 3}).separate()})
      .sample({ints({4}, -5, 5)})
      .sample_error({bools({2})}, {}, "x must be numeric");
}

FOVEA_OP(relu_backward) {
  op.doc(
        "dx = g where y > 0, else 0: the gradient of relu from its result y (or its operand) and the "
        "gradient g of y.")
      .input("y", Types::floating)
      .input("g", Types::floating)
      .pointwise()
      .decompose([](const OpArgs& a) { return Tensors{where(less_equal(a.in[0], 0), 0, a.in[1])}; })
      .sample({In({2, 3}).separate(), In{2, 3}})
      .sample_error({In{2, 3}, In{2, 4}}, {}, "axis 1 is 3 against 4");
}

FOVEA_KERNEL(cpu, relu, simd) { simd_unary(kernel); }
FOVEA_KERNEL(cpu, relu_backward, simd) { simd_binary(kernel); }

Tensor relu(const Arg& x) { return apply1("relu", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
