#include "ops/composite/log1p/log1p.h"

#include "ops/core/equal/equal.h"
#include "ops/core/log/log.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(log1p) {
  op.doc("y = ln(1 + x), elementwise, exact to rounding near 0 as well.")
      .input("x", Types::floating)
      .pointwise()
      .decompose([](const OpArgs& a) {
        // u = 1 + x loses digits of x; log(u) * x / (u - 1) makes up for them (Kahan). Where u is 1 or x
        // itself nothing is lost, or all.
        const Tensor& x = a.in[0];
        const Tensor u = 1.0 + x, lost_all = equal(u, 1);
        const Tensor scaled = log(u) * (x / where(lost_all, 1.0, u - 1.0));
        return Tensors{where(lost_all, x, where(equal(u, x), log(u), scaled))};
      })
      .gradient([](const GradArgs& a) { return Tensors{a.grad[0] / (1.0 + a.in[0])}; })
      .sample({In({2, 3}).range(-0.5, 2)})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_KERNEL(cpu, log1p, simd) { simd_unary(kernel); }

Tensor log1p(const Arg& x) { return apply1("log1p", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
