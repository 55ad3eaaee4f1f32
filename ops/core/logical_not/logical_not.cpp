#include "ops/core/logical_not/logical_not.h"

#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(logical_not) {
  op.doc("y = not x, of bools, elementwise.")
      .input("x", Types::boolean)
      .pointwise()
      .not_differentiable()
      .sample({bools({2, 3})})
      .sample_error({In{2}}, {}, "x must be bool");
}

FOVEA_KERNEL(reference, logical_not, loops) {
  reference_unary(kernel, [](int64_t x) { return x ^ 1; });
}
FOVEA_KERNEL(cpu, logical_not, simd) { simd_unary(kernel); }

Tensor logical_not(const Arg& x) { return apply1("logical_not", {to_boolean(x)}, {}, x.source); }

}  // namespace fovea
