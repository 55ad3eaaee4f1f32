#include "ops/core/stop_gradient/stop_gradient.h"

#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(stop_gradient) {
  op.doc("y = x, through which no gradient passes. A view: no data moves.")
      .input("x")
      .pointwise()
      .view([](const Attrs&, const Dims&, const Dims& in_strides, const Dims&, Dims& strides, int64_t&) {
        strides = in_strides;
        return true;
      })
      .not_differentiable()
      .sample({In{2, 3}})
      .sample({ints({3}, 0, 9)})
      .sample_error({}, {}, "takes 1 operands, got 0");
}

FOVEA_KERNEL(reference, stop_gradient, loops) { reference_cast(kernel); }

Tensor stop_gradient(const Arg& x) {
  return apply1("stop_gradient", {to_tensor(x, DType::f32)}, {}, x.source);
}

}  // namespace fovea
