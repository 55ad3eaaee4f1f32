#include "ops/core/mul/mul.h"

#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(mul) {
  op.doc("y = a * b, elementwise with NumPy broadcasting. Integers wrap around.")
      .input("a", Types::numeric)
      .input("b", Types::numeric)
      .pointwise()
      .commutative()
      .gradient([](const GradArgs& a) {
        return Tensors{reduce_if_needed(a, 0, [&] { return a.grad[0] * a.in[1]; }),
                       reduce_if_needed(a, 1, [&] { return a.grad[0] * a.in[0]; })};
      })
      .sample({In{2, 3}, In{2, 3}})
      .sample({In{2, 1, 3}, In{4, 1}})
      .sample_error({In{2, 3}, In{2, 4}}, {}, "axis 1 is 3 against 4");
}

FOVEA_KERNEL(reference, mul, loops) {
  reference_binary(kernel, [](auto a, auto b) { return wrapping_mul(a, b); });
}
FOVEA_KERNEL(cpu, mul, simd) { simd_binary(kernel); }

Tensor mul(const Arg& a, const Arg& b) { return apply_binary("mul", a, b); }

}  // namespace fovea
