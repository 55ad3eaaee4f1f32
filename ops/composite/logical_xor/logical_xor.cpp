#include "ops/composite/logical_xor/logical_xor.h"

#include "ops/core/equal/equal.h"
#include "ops/core/logical_not/logical_not.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(logical_xor) {
  op.doc("y = Either a or b, not both, of bools, elementwise with NumPy broadcasting.")
      .input("a", Types::boolean)
      .input("b", Types::boolean)
      .pointwise()
      .commutative()
      .decompose([](const OpArgs& a) { return Tensors{logical_not(equal(a.in[0], a.in[1]))}; })
      .not_differentiable()
      .sample({bools({2, 3}), bools({2, 3})})
      .sample({bools({2, 1, 3}), bools({4, 1})})
      .sample_error({bools({2}), In{2}}, {}, "b must be bool");
}

FOVEA_KERNEL(cpu, logical_xor, simd) { simd_logical(kernel); }

Tensor logical_xor(const Arg& a, const Arg& b) {
  return apply1("logical_xor", {to_boolean(a), to_boolean(b)}, {}, a.is_scalar ? b.source : a.source);
}

}  // namespace fovea
