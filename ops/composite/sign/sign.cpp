#include "ops/composite/sign/sign.h"

#include "ops/core/less/less.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(sign) {
  op.doc("y = 1 where x > 0, -1 where x < 0, 0 at 0, NaN for NaN. Its gradient is 0.")
      .input("x", Types::numeric)
      .pointwise()
      .decompose([](const OpArgs& a) {
        const Tensor& x = a.in[0];
        return Tensors{where(less(0, x), 1, where(less(x, 0), -1, x))};
      })
      .not_differentiable()
      .sample({In{2, 3}})
      .sample({ints({4}, -5, 5)})
      .sample_error({bools({2})}, {}, "x must be numeric");
}

FOVEA_KERNEL(cpu, sign, simd) { simd_unary(kernel); }

Tensor sign(const Arg& x) { return apply1("sign", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
