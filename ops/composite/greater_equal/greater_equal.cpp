#include "ops/composite/greater_equal/greater_equal.h"

#include "ops/core/equal/equal.h"
#include "ops/core/less/less.h"
#include "ops/core/logical_or/logical_or.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(greater_equal) {
  op.doc("y = a >= b as bool, elementwise with NumPy broadcasting; false where either is NaN.")
      .input("a", Types::any)
      .input("b", Types::any)
      .pointwise(DType::boolean)
      .decompose([](const OpArgs& a) {
        return Tensors{logical_or(less(a.in[1], a.in[0]), equal(a.in[0], a.in[1]))};
      })
      .not_differentiable()
      .sample({In{2, 3}, In{2, 3}})
      .sample({ints({2, 1, 3}, 0, 3), ints({4, 1}, 0, 3)})
      .sample({bools({4}), bools({4})})
      .sample_error({In{2, 3}, In{2, 4}}, {}, "axis 1 is 3 against 4");
}

FOVEA_KERNEL(cpu, greater_equal, simd) { simd_compare(kernel); }

Tensor greater_equal(const Arg& a, const Arg& b) { return apply_binary("greater_equal", a, b); }

}  // namespace fovea
