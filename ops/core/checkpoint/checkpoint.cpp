#include "graph/ir/signature.h"
#include "ops/shared/functions.h"

namespace fovea {

FOVEA_OP(checkpoint) {
  op.doc(
        "A call whose intermediate values are not kept for the backward pass: its gradient runs the function "
        "again "
        "(Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost).")
      .variadic_input("args")
      .required_attr("function", FunctionRef{"f"}, "the function called")
      .infer([](InferContext& c) {
        const Graph& f = called_function(c, "function");
        if (f.inputs.size() != c.in.size())
          c.fail("function '" + f.name + "' takes " + std::to_string(f.inputs.size()) + " arguments, got " +
                 std::to_string(c.in.size()));
        check_arguments(c, f, 0, 0, c.in.size());
        c.out = result_types(f);
      })
      .gradient([](const GradArgs& a) { return function_gradient(a, a.attrs.function("function")); })
      .sample_error({In{2}}, {{"function", FunctionRef{"absent"}}}, "no function 'absent'");
}

}  // namespace fovea
