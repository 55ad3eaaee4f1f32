#include "ops/core/logical_or/logical_or.h"

#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(logical_or) {
  op.doc("y = a or b, of bools, elementwise with NumPy broadcasting.")
      .input("a", Types::boolean)
      .input("b", Types::boolean)
      .pointwise()
      .commutative()
      .not_differentiable()
      .sample({bools({2, 3}), bools({2, 3})})
      .sample({bools({2, 1, 3}), bools({4, 1})})
      .sample_error({bools({2}), In{2}}, {}, "b must be bool");
}

FOVEA_KERNEL(reference, logical_or, loops) {
  reference_binary(kernel, [](int64_t a, int64_t b) { return a | b; });
}
FOVEA_KERNEL(cpu, logical_or, simd) { simd_logical(kernel); }

Tensor logical_or(const Arg& a, const Arg& b) {
  return apply1("logical_or", {to_boolean(a), to_boolean(b)}, {}, a.is_scalar ? b.source : a.source);
}

}  // namespace fovea
