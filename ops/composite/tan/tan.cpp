#include "ops/composite/tan/tan.h"

#include "ops/core/cos/cos.h"
#include "ops/core/sin/sin.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(tan) {
  op.doc("y = tan x, elementwise; x in radians.")
      .input("x", Types::floating)
      .pointwise()
      .decompose([](const OpArgs& a) { return Tensors{sin(a.in[0]) / cos(a.in[0])}; })
      .gradient([](const GradArgs& a) { return Tensors{a.grad[0] * (1.0 + a.out[0] * a.out[0])}; })
      .sample({In{2, 3}})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_KERNEL(cpu, tan, simd) { simd_unary(kernel); }

Tensor tan(const Arg& x) { return apply1("tan", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
