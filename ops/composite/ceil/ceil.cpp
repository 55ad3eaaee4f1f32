#include "ops/composite/ceil/ceil.h"

#include "ops/core/floor/floor.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(ceil) {
  op.doc("y = the least integer not below x, elementwise. Its gradient is 0.")
      .input("x", Types::floating)
      .pointwise()
      .decompose([](const OpArgs& a) { return Tensors{-floor(-a.in[0])}; })
      .not_differentiable()
      .sample({In({2, 3}).range(-3, 3)})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_KERNEL(cpu, ceil, simd) { simd_unary(kernel); }

Tensor ceil(const Arg& x) { return apply1("ceil", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
