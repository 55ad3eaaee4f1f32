#include "ops/composite/greater/greater.h"

#include "ops/core/less/less.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(greater) {
  op.doc("y = a > b as bool, elementwise with NumPy broadcasting; false where either is NaN.")
      .input("a", Types::any)
      .input("b", Types::any)
      .pointwise(DType::boolean)
      .decompose([](const OpArgs& a) { return Tensors{less(a.in[1], a.in[0])}; })
      .not_differentiable()
      .sample({In{2, 3}, In{2, 3}})
      .sample({ints({2, 1, 3}, 0, 3), ints({4, 1}, 0, 3)})
      .sample({bools({4}), bools({4})})
      .sample_error({In{2, 3}, In{2, 4}}, {}, "axis 1 is 3 against 4");
}

FOVEA_KERNEL(cpu, greater, simd) { simd_compare(kernel); }

Tensor greater(const Arg& a, const Arg& b) { return apply_binary("greater", a, b); }

}  // namespace fovea
