#include "graph/ir/signature.h"
#include "ops/shared/functions.h"

namespace fovea {
namespace {

// (args, cotangents) -> gradients of one branch.
std::string trace_branch(const GradArgs& a, const std::string& branch, const Ints& wrt, const Ints& seeds) {
  const auto& module = a.in[0].builder()->module();
  auto builder = Builder::make(module, branch + ".backward");
  Tensors args;
  for (size_t i = 1; i < a.in.size(); ++i) args.push_back(builder->input("", a.in[i].type()));
  for (int64_t s : seeds) args.push_back(builder->input("", a.out[s].type()));
  TraceScope trace(builder);
  const Tensors out = apply("vjp", args, {{"function", FunctionRef{branch}}, {"wrt", wrt}, {"seeds", seeds}});
  for (size_t i = 0; i < wrt.size(); ++i) builder->output("", out[a.out.size() + i]);
  return builder->finish()->name;
}

}  // namespace

FOVEA_OP(cond) {
  op.doc(
        "One of two functions of the same signature, chosen at run time. Operands: a bool scalar, then the "
        "arguments.")
      .input("predicate", Types::boolean)
      .variadic_input("args")
      .required_attr("then", FunctionRef{"then"}, "called where the predicate is true")
      .required_attr("otherwise", FunctionRef{"otherwise"}, "called where it is false")
      .infer([](InferContext& c) {
        if (c.rank(0) != 0) c.fail("the predicate must be a scalar, got " + to_string(c.in[0]));
        const Graph &yes = called_function(c, "then"), &no = called_function(c, "otherwise");
        for (const Graph* f : {&yes, &no}) {
          if (f->inputs.size() + 1 != c.in.size())
            c.fail("function '" + f->name + "' takes " + std::to_string(f->inputs.size()) +
                   " arguments, got " + std::to_string(c.in.size() - 1));
          check_arguments(c, *f, 0, 1, f->inputs.size());
        }
        c.out = result_types(yes);
        if (!(c.out == result_types(no))) c.fail("the two branches return different types");
      })
      .gradient([](const GradArgs& a) {
        Ints wrt, seeds;
        Tensors args(a.in.begin(), a.in.end());
        for (size_t i = 1; i < a.in.size(); ++i)
          if (a.needs[i]) wrt.push_back(static_cast<int64_t>(i) - 1);
        for (size_t i = 0; i < a.grad.size(); ++i)
          if (a.grad[i].defined()) seeds.push_back(static_cast<int64_t>(i)), args.push_back(a.grad[i]);
        const Tensors out =
            apply("cond", args,
                  {{"then", FunctionRef{trace_branch(a, a.attrs.function("then"), wrt, seeds)}},
                   {"otherwise", FunctionRef{trace_branch(a, a.attrs.function("otherwise"), wrt, seeds)}}});
        Tensors grads(a.in.size());
        for (size_t i = 0; i < wrt.size(); ++i) grads[wrt[i] + 1] = out[i];
        return grads;
      })
      .sample_error({bools({}), In{2}},
                    {{"then", FunctionRef{"absent"}}, {"otherwise", FunctionRef{"absent"}}},
                    "no function 'absent'");
}

}  // namespace fovea
