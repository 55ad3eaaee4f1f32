#include "ops/core/sqrt/sqrt.h"

#include <cmath>

#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(sqrt) {
  op.doc("y = the square root of x, elementwise; NaN below 0.")
      .input("x", Types::floating)
      .pointwise()
      .gradient([](const GradArgs& a) { return Tensors{0.5 * a.grad[0] / a.out[0]}; })
      .sample({In({2, 3}).range(0.2, 2)})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_KERNEL(reference, sqrt, loops) {
  reference_unary(kernel, [](double x) { return std::sqrt(x); });
}
FOVEA_KERNEL(cpu, sqrt, simd) { simd_unary(kernel); }

Tensor sqrt(const Arg& x) { return apply1("sqrt", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
