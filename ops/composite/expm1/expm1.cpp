#include "ops/composite/expm1/expm1.h"

#include "ops/composite/abs/abs.h"
#include "ops/core/equal/equal.h"
#include "ops/core/exp/exp.h"
#include "ops/core/less/less.h"
#include "ops/core/log/log.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(expm1) {
  op.doc("y = e^x - 1, elementwise, exact to rounding near 0 as well.")
      .input("x", Types::floating)
      .pointwise()
      .decompose([](const OpArgs& a) {
        // Near 0, u = e^x keeps few digits of x; (u - 1) * x / log(u) makes up for them (Kahan).
        const Tensor& x = a.in[0];
        const Tensor u = exp(x), lost_all = equal(u, 1), near = less(abs(x), 1);
        const Tensor scaled = (u - 1.0) * (x / where(lost_all, 1.0, log(u)));
        return Tensors{where(lost_all, x, where(near, scaled, u - 1.0))};
      })
      .gradient([](const GradArgs& a) { return Tensors{a.grad[0] * exp(a.in[0])}; })
      .sample({In{2, 3}})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_KERNEL(cpu, expm1, simd) { simd_unary(kernel); }

Tensor expm1(const Arg& x) { return apply1("expm1", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
