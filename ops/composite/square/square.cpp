#include "ops/composite/square/square.h"

#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(square) {
  op.doc("y = x^2, elementwise. Integers wrap around.")
      .input("x", Types::numeric)
      .pointwise()
      .decompose([](const OpArgs& a) { return Tensors{a.in[0] * a.in[0]}; })
      .gradient([](const GradArgs& a) { return Tensors{a.grad[0] * (2.0 * a.in[0])}; })
      .sample({In{2, 3}})
      .sample({ints({4}, -5, 5)})
      .sample_error({bools({2})}, {}, "x must be numeric");
}

FOVEA_KERNEL(cpu, square, simd) { simd_unary(kernel); }

Tensor square(const Arg& x) { return apply1("square", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
