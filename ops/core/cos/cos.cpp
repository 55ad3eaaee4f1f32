#include "ops/core/cos/cos.h"

#include <cmath>

#include "ops/core/sin/sin.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(cos) {
  op.doc("y = cos x, elementwise; x in radians.")
      .input("x", Types::floating)
      .pointwise()
      .gradient([](const GradArgs& a) { return Tensors{-(a.grad[0] * sin(a.in[0]))}; })
      .sample({In({2, 3}).range(-3, 3)})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_KERNEL(reference, cos, loops) {
  reference_unary(kernel, [](double x) { return std::cos(x); });
}
FOVEA_KERNEL(cpu, cos, simd) { simd_unary(kernel); }

Tensor cos(const Arg& x) { return apply1("cos", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
