#include "ops/composite/floor_div/floor_div.h"

#include "ops/composite/logical_xor/logical_xor.h"
#include "ops/core/equal/equal.h"
#include "ops/core/floor/floor.h"
#include "ops/core/less/less.h"
#include "ops/core/logical_and/logical_and.h"
#include "ops/core/logical_not/logical_not.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(floor_div) {
  op.doc(
        "y = floor(a / b), elementwise with NumPy broadcasting. An integer divided by 0 gives 0. Its "
        "gradient is 0.")
      .input("a", Types::numeric)
      .input("b", Types::numeric)
      .pointwise()
      .decompose([](const OpArgs& a) {
        const Tensor &x = a.in[0], &y = a.in[1];
        const Tensor quotient = apply1("div", {x, y});
        if (is_floating(x.dtype())) return Tensors{floor(quotient)};
        // Integers were truncated toward 0: one less where there is a rest and the signs differ.
        const Tensor uneven = !equal(quotient * y, x) && logical_xor(less(x, 0), less(y, 0));
        return Tensors{where(uneven && !equal(y, 0), quotient - 1, quotient)};
      })
      .not_differentiable()
      .sample({In({2, 3}).range(-5, 5), In({2, 3}).range(0.5, 2)})
      .sample({ints({2, 1, 3}, -9, 9), ints({4, 1}, 1, 4)})
      .sample_error({In{2, 3}, In{2, 4}}, {}, "axis 1 is 3 against 4");
}

Tensor floor_div(const Arg& a, const Arg& b) { return apply_binary("floor_div", a, b); }

}  // namespace fovea
