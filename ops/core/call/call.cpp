#include "ops/core/call/call.h"

#include "graph/ir/signature.h"

namespace fovea {

FOVEA_OP(call) {
  op.doc(
        "The results of a function of the same module. Inlined when compiled; its gradient is that of its "
        "nodes.")
      .variadic_input("args")
      .required_attr("function", FunctionRef{"f"}, "the function called")
      .infer([](InferContext& c) { c.out = result_types(called_with_operands(c, "function")); })
      .sample_error({In{2}}, {{"function", FunctionRef{"absent"}}}, "no function 'absent'");
}

std::vector<Tensor> call(const std::string& function, const std::vector<Tensor>& args, Source source) {
  return apply("call", args, {{"function", FunctionRef{function}}}, source);
}

}  // namespace fovea
