#include "ops/composite/reciprocal/reciprocal.h"

#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(reciprocal) {
  op.doc("y = 1 / x, elementwise.")
      .input("x", Types::floating)
      .pointwise()
      .decompose([](const OpArgs& a) { return Tensors{1.0 / a.in[0]}; })
      .gradient([](const GradArgs& a) { return Tensors{-(a.grad[0] * a.out[0] * a.out[0])}; })
      .sample({In({2, 3}).range(0.5, 2)})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_KERNEL(cpu, reciprocal, simd) { simd_unary(kernel); }

Tensor reciprocal(const Arg& x) { return apply1("reciprocal", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
