#include "ops/composite/abs/abs.h"

#include "ops/composite/sign/sign.h"
#include "ops/core/less/less.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(abs) {
  op.doc("y = |x|, elementwise; the gradient at 0 is 0.")
      .input("x", Types::numeric)
      .pointwise()
      .decompose([](const OpArgs& a) {
        const Tensor& x = a.in[0];
        return Tensors{where(less(0, x), x, 0 - x)};  // 0 - x and not -x: |-0| is +0
      })
      .gradient([](const GradArgs& a) { return Tensors{a.grad[0] * sign(a.in[0])}; })
      .sample({In({2, 3}).separate()})
      .sample({ints({4}, -5, 5)})
      .sample_error({bools({2})}, {}, "x must be numeric");
}

FOVEA_KERNEL(cpu, abs, simd) { simd_unary(kernel); }

Tensor abs(const Arg& x) { return apply1("abs", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
