#include "ops/composite/is_finite/is_finite.h"

#include <limits>

#include "ops/composite/abs/abs.h"
#include "ops/core/less/less.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(is_finite) {
  op.doc("y = true where x is neither infinite nor NaN.")
      .input("x", Types::floating)
      .pointwise(DType::boolean)
      .decompose([](const OpArgs& a) {
        return Tensors{less(abs(a.in[0]), std::numeric_limits<double>::infinity())};
      })
      .not_differentiable()
      .sample({In{2, 3}})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

Tensor is_finite(const Arg& x) { return apply1("is_finite", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
