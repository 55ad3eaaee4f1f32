#include "ops/composite/elu/elu.h"

#include "ops/composite/expm1/expm1.h"
#include "ops/core/exp/exp.h"
#include "ops/core/less/less.h"
#include "ops/core/minimum/minimum.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"

namespace fovea {

FOVEA_OP(elu) {
  op.doc("y = x where x > 0, else alpha (e^x - 1) (Clevert et al., 2015); the gradient at 0 is alpha * g.")
      .input("x", Types::floating)
      .attr("alpha", 1.0, "-alpha is the limit for x -> -inf")
      .pointwise()
      .decompose([](const OpArgs& a) {
        const Tensor& x = a.in[0];
        return Tensors{where(less(0, x), x, a.attrs.number("alpha") * expm1(minimum(x, 0)))};
      })
      .gradient([](const GradArgs& a) {
        const Tensor &x = a.in[0], &g = a.grad[0];
        return Tensors{where(less(0, x), g, g * (a.attrs.number("alpha") * exp(minimum(x, 0))))};
      })
      .sample({In({2, 3}).separate()})
      .sample({In({4}).separate()}, {{"alpha", 0.5}})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

Tensor elu(const Arg& x, double alpha) {
  return apply1("elu", {to_tensor(x, DType::f32)}, {{"alpha", alpha}}, x.source);
}

}  // namespace fovea
