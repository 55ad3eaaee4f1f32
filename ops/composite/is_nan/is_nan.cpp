#include "ops/composite/is_nan/is_nan.h"

#include "ops/composite/not_equal/not_equal.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(is_nan) {
  op.doc("y = true where x is NaN.")
      .input("x", Types::floating)
      .pointwise(DType::boolean)
      .decompose([](const OpArgs& a) { return Tensors{not_equal(a.in[0], a.in[0])}; })
      .not_differentiable()
      .sample({In{2, 3}})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_KERNEL(cpu, is_nan, simd) { simd_test(kernel); }

Tensor is_nan(const Arg& x) { return apply1("is_nan", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
