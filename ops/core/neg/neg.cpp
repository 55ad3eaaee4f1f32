#include "ops/core/neg/neg.h"

#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(neg) {
  op.doc("y = -x, elementwise. Integers wrap around.")
      .input("x", Types::numeric)
      .pointwise()
      .gradient([](const GradArgs& a) { return Tensors{-a.grad[0]}; })
      .sample({In{2, 3}})
      .sample({ints({4}, -5, 5)})
      .sample_error({bools({2})}, {}, "x must be numeric");
}

FOVEA_KERNEL(reference, neg, loops) {
  reference_unary(kernel, [](auto x) {
    if constexpr (std::is_integral_v<decltype(x)>) {
      return wrapping_sub(int64_t{0}, x);
    } else {
      return -x;  // 0 - x would lose the sign of 0
    }
  });
}
FOVEA_KERNEL(cpu, neg, simd) { simd_unary(kernel); }

Tensor neg(const Arg& x) { return apply1("neg", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
