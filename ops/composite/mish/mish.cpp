#include "ops/composite/mish/mish.h"

#include "ops/composite/softplus/softplus.h"
#include "ops/core/tanh/tanh.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(mish) {
  op.doc("y = x tanh(ln(1 + e^x)), elementwise (Misra, 2019).")
      .input("x", Types::floating)
      .pointwise()
      .decompose([](const OpArgs& a) { return Tensors{a.in[0] * tanh(softplus(a.in[0]))}; })
      .sample({In({2, 3}).range(-3, 3)})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

Tensor mish(const Arg& x) { return apply1("mish", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
