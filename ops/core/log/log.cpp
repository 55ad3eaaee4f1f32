#include "ops/core/log/log.h"

#include <cmath>

#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(log) {
  op.doc("y = ln x, elementwise: -inf at 0, NaN below.")
      .input("x", Types::floating)
      .pointwise()
      .gradient([](const GradArgs& a) { return Tensors{a.grad[0] / a.in[0]}; })
      .sample({In({2, 3}).range(0.2, 2)})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_KERNEL(reference, log, loops) {
  reference_unary(kernel, [](double x) { return std::log(x); });
}
FOVEA_KERNEL(cpu, log, simd) { simd_unary(kernel); }

Tensor log(const Arg& x) { return apply1("log", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
