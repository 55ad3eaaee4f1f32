#include "ops/core/cast/cast.h"

#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(cast) {
  op.doc(
        "y = x in another element type. Floating to integer truncates toward 0 and saturates, NaN becomes 0; "
        "integers keep their low bits; anything but 0 is true. Gradients pass between floating types.")
      .input("x")
      .required_attr("dtype", DType::f32, "element type of y")
      .pointwise()
      .infer([](InferContext& c) { c.output(c.attrs.dtype("dtype"), c.shape(0)); })
      .gradient([](const GradArgs& a) { return Tensors{cast(a.grad[0], a.in[0].dtype())}; })
      .sample({In{2, 3}}, {{"dtype", DType::f64}})
      .sample({ints({4}, -300, 300, DType::i32)}, {{"dtype", DType::i8}})
      .sample_error({In{2}}, {}, "attribute 'dtype' is missing");
}

FOVEA_KERNEL(reference, cast, loops) { reference_cast(kernel); }
FOVEA_KERNEL(cpu, cast, simd) { simd_cast(kernel); }

Tensor cast(const Arg& x, DType dtype) {
  const Tensor t = to_tensor(x, dtype);
  return t.dtype() == dtype ? t : apply1("cast", {t}, {{"dtype", dtype}}, x.source);
}

}  // namespace fovea
