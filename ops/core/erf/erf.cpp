#include "ops/core/erf/erf.h"

#include <cmath>

#include "ops/core/exp/exp.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(erf) {
  op.doc("y = 2 / sqrt(pi) * the integral of exp(-t^2) from 0 to x, elementwise.")
      .input("x", Types::floating)
      .pointwise()
      .gradient([](const GradArgs& a) {
        constexpr double kScale = 1.1283791670955126;  // 2 / sqrt(pi)
        return Tensors{a.grad[0] * (kScale * exp(-(a.in[0] * a.in[0])))};
      })
      .sample({In({2, 3}).range(-2, 2)})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_KERNEL(reference, erf, loops) {
  reference_unary(kernel, [](double x) { return std::erf(x); });
}
FOVEA_KERNEL(cpu, erf, simd) { simd_unary(kernel); }

Tensor erf(const Arg& x) { return apply1("erf", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
