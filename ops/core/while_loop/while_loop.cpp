#include "graph/build/tensor.h"
#include "graph/ir/signature.h"

namespace fovea {

FOVEA_OP(while_loop) {
  op.doc(
        "Repeats a body while a condition holds. Operands: carried tensors, then constants. The condition "
        "takes all of them and returns one bool; the body takes all of them and returns the carried ones. It "
        "has no gradient: use scan.")
      .variadic_input("args")
      .required_attr("condition", FunctionRef{"condition"}, "whether to run the body once more")
      .required_attr("function", FunctionRef{"body"}, "the body")
      .required_attr("carry", int64_t{1}, "number of carried tensors")
      .attr("max_iterations", int64_t{1} << 40, "an error after that many")
      .infer([](InferContext& c) {
        const Graph &body = called_function(c, "function"), &condition = called_function(c, "condition");
        const size_t carry = static_cast<size_t>(c.attrs.integer("carry"));
        for (const Graph* f : {&body, &condition}) {
          if (f->inputs.size() != c.in.size())
            c.fail("function '" + f->name + "' takes " + std::to_string(f->inputs.size()) +
                   " arguments, got " + std::to_string(c.in.size()));
          check_arguments(c, *f, 0, 0, c.in.size());
        }
        if (condition.outputs.size() != 1 ||
            !(condition.type(condition.outputs[0]) == TensorType{DType::boolean, {}}))
          c.fail("the condition must return one bool scalar");
        c.out = result_types(body);
        if (carry > c.in.size() || c.out.size() != carry)
          c.fail("the body returns " + std::to_string(c.out.size()) + " tensors for " +
                 std::to_string(carry) + " carried ones");
        for (size_t i = 0; i < carry; ++i)
          if (!(c.out[i] == c.in[i]))
            c.fail("carried tensor " + std::to_string(i) + " goes in as " + to_string(c.in[i]) +
                   " and comes out as " + to_string(c.out[i]));
      })
      .sample_error({In{2}},
                    {{"function", FunctionRef{"absent"}}, {"condition", FunctionRef{"absent"}}, {"carry", 1}},
                    "no function 'absent'");
}

}  // namespace fovea
