#include "ops/core/floor/floor.h"

#include <cmath>

#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(floor) {
  op.doc("y = the greatest integer not above x, elementwise. Its gradient is 0.")
      .input("x", Types::floating)
      .pointwise()
      .not_differentiable()
      .sample({In({2, 3}).range(-3, 3)})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_KERNEL(reference, floor, loops) {
  reference_unary(kernel, [](double x) { return std::floor(x); });
}
FOVEA_KERNEL(cpu, floor, simd) { simd_unary(kernel); }

Tensor floor(const Arg& x) { return apply1("floor", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
