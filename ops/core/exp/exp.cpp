#include "ops/core/exp/exp.h"

#include <cmath>

#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(exp) {
  op.doc("y = e^x, elementwise.")
      .input("x", Types::floating)
      .pointwise()
      .gradient([](const GradArgs& a) { return Tensors{a.grad[0] * a.out[0]}; })
      .sample({In{2, 3}})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_KERNEL(reference, exp, loops) {
  reference_unary(kernel, [](double x) { return std::exp(x); });
}
FOVEA_KERNEL(cpu, exp, simd) { simd_unary(kernel); }

Tensor exp(const Arg& x) { return apply1("exp", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
