#include "ops/composite/rsqrt/rsqrt.h"

#include "ops/core/sqrt/sqrt.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(rsqrt) {
  op.doc("y = 1 / sqrt(x), elementwise.")
      .input("x", Types::floating)
      .pointwise()
      .decompose([](const OpArgs& a) { return Tensors{1.0 / sqrt(a.in[0])}; })
      .gradient([](const GradArgs& a) { return Tensors{-0.5 * a.grad[0] * a.out[0] / a.in[0]}; })
      .sample({In({2, 3}).range(0.5, 2)})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_KERNEL(cpu, rsqrt, simd) { simd_unary(kernel); }

Tensor rsqrt(const Arg& x) { return apply1("rsqrt", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
