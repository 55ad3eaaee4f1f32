#include "ops/composite/round/round.h"

#include "ops/core/floor/floor.h"
#include "ops/core/less/less.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(round) {
  op.doc("y = x rounded to the nearest integer, ties to the even one. Its gradient is 0.")
      .input("x", Types::floating)
      .pointwise()
      .decompose([](const OpArgs& a) {
        const Tensor& x = a.in[0];
        const Tensor below = floor(x), rest = x - below;
        const Tensor even = 2.0 * floor(0.5 * (below + 1.0));
        return Tensors{where(less(rest, 0.5), below, where(less(0.5, rest), below + 1.0, even))};
      })
      .not_differentiable()
      .sample({In({2, 3}).range(-3, 3)})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_KERNEL(cpu, round, simd) { simd_unary(kernel); }

Tensor round(const Arg& x) { return apply1("round", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
