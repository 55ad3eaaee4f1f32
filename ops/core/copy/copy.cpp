#include "ops/core/copy/copy.h"

#include "ops/shared/box_copy.h"

namespace fovea {

FOVEA_OP(copy) {
  op.doc("The operand in row-major memory of its own.")
      .input("x")
      .infer([](InferContext& c) { c.output(c.in[0]); })
      .gradient([](const GradArgs& a) { return Tensors{a.grad[0]}; })
      .sample({In{2, 3}})
      .sample({In{}})
      .sample_error({In{2}, In{2}}, {}, "takes 1 operands, got 2");
}

FOVEA_KERNEL(reference, copy, loops) { reference_view_copy(kernel, nullptr); }
FOVEA_KERNEL(cpu, copy, rows) { cpu_view_copy(kernel, nullptr); }

Tensor copy(const Arg& x) { return apply1("copy", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
