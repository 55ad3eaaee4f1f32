#include "ops/composite/softplus/softplus.h"

#include "ops/composite/abs/abs.h"
#include "ops/composite/log1p/log1p.h"
#include "ops/composite/sigmoid/sigmoid.h"
#include "ops/core/exp/exp.h"
#include "ops/core/maximum/maximum.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(softplus) {
  op.doc("y = ln(1 + e^x), elementwise, as max(x, 0) + ln(1 + e^-|x|).")
      .input("x", Types::floating)
      .pointwise()
      .decompose([](const OpArgs& a) { return Tensors{maximum(a.in[0], 0) + log1p(exp(-abs(a.in[0])))}; })
      .gradient([](const GradArgs& a) { return Tensors{a.grad[0] * sigmoid(a.in[0])}; })
      .sample({In({2, 3}).range(-3, 3)})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_KERNEL(cpu, softplus, simd) { simd_unary(kernel); }

Tensor softplus(const Arg& x) { return apply1("softplus", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
