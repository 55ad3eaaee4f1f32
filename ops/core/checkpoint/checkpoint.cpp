#include "graph/ir/signature.h"
#include "ops/shared/functions.h"

namespace fovea {

FOVEA_OP(checkpoint) {
  op.doc(
        "A call whose intermediate values are not kept for the backward pass: its gradient runs the function "
        "again (Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost).")
      .variadic_input("args")
      .required_attr("function", FunctionRef{"f"}, "the function called")
      .infer([](InferContext& c) { c.out = result_types(called_with_operands(c, "function")); })
      .gradient([](const GradArgs& a) { return function_gradient(a, a.attrs.function("function")); })
      .sample_error({In{2}}, {{"function", FunctionRef{"absent"}}}, "no function 'absent'");
}

}  // namespace fovea
