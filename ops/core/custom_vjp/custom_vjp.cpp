#include "graph/ir/signature.h"
#include "ops/shared/functions.h"

namespace fovea {

FOVEA_OP(custom_vjp) {
  op.doc(
        "A call with a gradient of the user's own: `backward` takes the arguments, the results and the "
        "results' cotangents, and returns one gradient for each argument.")
      .variadic_input("args")
      .required_attr("function", FunctionRef{"f"}, "the function called")
      .required_attr("backward", FunctionRef{"b"}, "its gradient")
      .infer([](InferContext& c) {
        const Graph &f = called_with_operands(c, "function"), &b = called_function(c, "backward");
        if (b.inputs.size() != f.inputs.size() + 2 * f.outputs.size())
          c.fail("backward function '" + b.name + "' takes " + std::to_string(b.inputs.size()) +
                 " arguments; it should take the " + std::to_string(f.inputs.size()) + " arguments, " +
                 std::to_string(f.outputs.size()) + " results and as many cotangents");
        if (b.outputs.size() != f.inputs.size())
          c.fail("backward function '" + b.name + "' returns " + std::to_string(b.outputs.size()) +
                 " gradients for " + std::to_string(f.inputs.size()) + " arguments");
        c.out = result_types(f);
      })
      .gradient([](const GradArgs& a) {
        Tensors args(a.in.begin(), a.in.end());
        args.insert(args.end(), a.out.begin(), a.out.end());
        for (size_t i = 0; i < a.out.size(); ++i)
          args.push_back(a.grad[i].defined() ? a.grad[i] : zeros_like(a.out[i]));
        return apply("call", args, {{"function", FunctionRef{a.attrs.function("backward")}}});
      })
      .sample_error({In{2}}, {{"function", FunctionRef{"absent"}}, {"backward", FunctionRef{"absent"}}},
                    "no function 'absent'");
}

}  // namespace fovea
