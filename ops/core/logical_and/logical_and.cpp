#include "ops/core/logical_and/logical_and.h"

#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(logical_and) {
  op.doc("y = a and b, of bools, elementwise with NumPy broadcasting.")
      .input("a", Types::boolean)
      .input("b", Types::boolean)
      .pointwise()
      .commutative()
      .not_differentiable()
      .sample({bools({2, 3}), bools({2, 3})})
      .sample({bools({2, 1, 3}), bools({4, 1})})
      .sample_error({bools({2}), In{2}}, {}, "b must be bool");
}

FOVEA_KERNEL(reference, logical_and, loops) {
  reference_binary(kernel, [](int64_t a, int64_t b) { return a & b; });
}
FOVEA_KERNEL(cpu, logical_and, simd) { simd_logical(kernel); }

Tensor logical_and(const Arg& a, const Arg& b) {
  return apply1("logical_and", {to_boolean(a), to_boolean(b)}, {}, a.is_scalar ? b.source : a.source);
}

}  // namespace fovea
