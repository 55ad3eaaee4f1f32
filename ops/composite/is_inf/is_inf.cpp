#include "ops/composite/is_inf/is_inf.h"

#include <limits>

#include "ops/composite/abs/abs.h"
#include "ops/core/equal/equal.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(is_inf) {
  op.doc("y = true where x is inf or -inf.")
      .input("x", Types::floating)
      .pointwise(DType::boolean)
      .decompose([](const OpArgs& a) {
        return Tensors{equal(abs(a.in[0]), std::numeric_limits<double>::infinity())};
      })
      .not_differentiable()
      .sample({In{2, 3}})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_KERNEL(cpu, is_inf, simd) { simd_test(kernel); }

Tensor is_inf(const Arg& x) { return apply1("is_inf", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
