#include "ops/composite/mod/mod.h"

#include "ops/composite/floor_div/floor_div.h"
#include "ops/core/equal/equal.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(mod) {
  op.doc(
        "y = a - b floor(a / b), elementwise with NumPy broadcasting: the sign of b, as in Python. An "
        "integer mod 0 is 0. The gradient of b is -floor(a / b).")
      .input("a", Types::numeric)
      .input("b", Types::numeric)
      .pointwise()
      .decompose([](const OpArgs& a) {
        const Tensor &x = a.in[0], &y = a.in[1];
        const Tensor rest = x - floor_div(x, y) * y;
        return Tensors{is_floating(x.dtype()) ? rest : where(equal(y, 0), 0, rest)};
      })
      .gradient([](const GradArgs& a) {
        return Tensors{reduce_if_needed(a, 0, [&] { return a.grad[0]; }),
                       reduce_if_needed(a, 1, [&] { return -(a.grad[0] * floor_div(a.in[0], a.in[1])); })};
      })
      .sample({In({2, 3}).range(0.1, 0.9), In({2, 3}).range(1.1, 2)})
      .sample({In({2, 1, 3}).range(2.1, 2.4), In({4, 1}).range(1.5, 1.9)})
      .sample({ints({5}, -9, 9), ints({5}, 1, 4)})
      .sample_error({In{2, 3}, In{2, 4}}, {}, "axis 1 is 3 against 4");
}

FOVEA_KERNEL(cpu, mod, simd) { simd_binary(kernel); }

Tensor mod(const Arg& a, const Arg& b) { return apply_binary("mod", a, b); }

}  // namespace fovea
