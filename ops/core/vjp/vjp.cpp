#include "ops/shared/functions.h"

#include "graph/ir/signature.h"

namespace fovea {

FOVEA_OP(vjp) {
  op.doc(
        "Runs a function and its vector-Jacobian product. Operands: the function's arguments, then one "
        "cotangent for each output listed in `seeds`. Results: the function's outputs, then the gradient of "
        "each argument listed in `wrt`. The compiler replaces it by forward and backward nodes, innermost "
        "first, so gradients nest.")
      .variadic_input("args")
      .required_attr("function", FunctionRef{"f"}, "the function differentiated")
      .attr("wrt", Ints{}, "arguments whose gradients are wanted")
      .attr("seeds", Ints{}, "outputs that cotangents are given for")
      .infer([](InferContext& c) {
        const Graph& f = called_function(c, "function");
        const Ints &wrt = c.attrs.ints("wrt"), &seeds = c.attrs.ints("seeds");
        if (c.in.size() != f.inputs.size() + seeds.size())
          c.fail("function '" + f.name + "' takes " + std::to_string(f.inputs.size()) + " arguments and " +
                 std::to_string(seeds.size()) + " cotangents, got " + std::to_string(c.in.size()) +
                 " operands");
        check_arguments(c, f, 0, 0, f.inputs.size());
        c.out = result_types(f);
        for (size_t i = 0; i < seeds.size(); ++i) {
          if (seeds[i] < 0 || static_cast<size_t>(seeds[i]) >= f.outputs.size())
            c.fail("a cotangent is given for output " + std::to_string(seeds[i]) + " of " +
                   std::to_string(f.outputs.size()));
          if (!(c.in[f.inputs.size() + i] == f.type(f.outputs[seeds[i]])))
            c.fail("the cotangent of output " + std::to_string(seeds[i]) + " is " +
                   to_string(c.in[f.inputs.size() + i]) + ", the output " +
                   to_string(f.type(f.outputs[seeds[i]])));
        }
        for (int64_t w : wrt) {
          if (w < 0 || static_cast<size_t>(w) >= f.inputs.size())
            c.fail("a gradient is wanted for argument " + std::to_string(w) + " of " +
                   std::to_string(f.inputs.size()));
          const TensorType& t = f.nodes[f.inputs[w]].outputs[0];
          if (!is_floating(t.dtype))
            c.fail("argument " + std::to_string(w) + " is " + to_string(t) +
                   ": only floating arguments have gradients");
          c.output(t);
        }
      })
      .sample_error({In{2}}, {{"function", FunctionRef{"absent"}}}, "no function 'absent'");
}

}  // namespace fovea
