#include "graph/ir/signature.h"
#include "ops/shared/functions.h"

namespace fovea {
namespace {

struct Counts {
  size_t carry, xs, consts, ys;
};

Counts counts_of(const Attrs& attrs, size_t inputs, size_t body_outputs) {
  const size_t carry = static_cast<size_t>(attrs.integer("carry")),
               xs = static_cast<size_t>(attrs.integer("xs"));
  return {carry, xs, inputs - carry - xs, body_outputs - carry};
}

void infer_scan(InferContext& c) {
  const Graph& body = called_function(c, "function");
  const int64_t carry = c.attrs.integer("carry"), xs = c.attrs.integer("xs");
  if (carry < 0 || xs < 0 || static_cast<size_t>(carry + xs) > c.in.size())
    c.fail(std::to_string(carry) + " carried and " + std::to_string(xs) + " scanned operands of " +
           std::to_string(c.in.size()));
  if (body.outputs.size() < static_cast<size_t>(carry))
    c.fail("the body returns " + std::to_string(body.outputs.size()) + " tensors for " +
           std::to_string(carry) + " carried ones");
  if (body.inputs.size() != c.in.size())
    c.fail("the body takes " + std::to_string(body.inputs.size()) + " arguments, got " +
           std::to_string(c.in.size()));
  if (c.attrs.shape("length").size() != 1) c.fail("length is one size");
  const Dim length = c.attrs.shape("length")[0];
  const Counts n = counts_of(c.attrs, c.in.size(), body.outputs.size());
  check_arguments(c, body, 0, 0, n.carry);
  check_arguments(c, body, n.carry + n.xs, n.carry + n.xs, n.consts);
  for (size_t i = 0; i < n.xs; ++i) {
    const Shape& shape = c.shape(n.carry + i);
    const TensorType& slice = body.nodes[body.inputs[n.carry + i]].outputs[0];
    if (shape.empty())
      c.fail("scanned operand " + std::to_string(i) + " is a scalar: there is no axis to scan");
    c.same(shape[0], length, "scanned operand " + std::to_string(i) + " has {a} steps, the scan {b}");
    if (!(slice == TensorType{c.dtype(n.carry + i), Shape(shape.begin() + 1, shape.end())}))
      c.fail("scanned operand " + std::to_string(i) + " is " + to_string(c.in[n.carry + i]) +
             ", the body takes slices " + to_string(slice));
  }
  auto stacked = [&](TensorType t) {
    t.shape.insert(t.shape.begin(), length);
    return t;
  };
  const std::vector<TensorType> results = result_types(body);
  for (size_t i = 0; i < n.carry; ++i) {
    if (!(results[i] == c.in[i]))
      c.fail("carried tensor " + std::to_string(i) + " goes in as " + to_string(c.in[i]) +
             " and comes out as " + to_string(results[i]));
    c.output(results[i]);
  }
  for (size_t i = 0; i < n.ys; ++i) c.output(stacked(results[n.carry + i]));
  if (c.attrs.flag("save_carries"))
    for (size_t i = 0; i < n.carry; ++i) c.output(stacked(results[i]));
}

// The body of the backward scan. Carried: gradients of the carries and sums of gradients of the constants.
// Scanned: the forward slices, the carries as they came in, and the gradients of the ys.
struct BackwardBody {
  const Graph& body;
  Counts n;
  std::vector<size_t> carry, xs, consts, ys;  // the floating ones (ys: those with a gradient)
};

std::string trace_backward(const std::shared_ptr<Module>& module, const std::string& function,
                           const BackwardBody& b) {
  auto builder = Builder::make(module, function + ".backward");
  auto input_type = [&](size_t i) { return b.body.nodes[b.body.inputs[i]].outputs[0]; };
  auto result_type = [&](size_t i) { return b.body.type(b.body.outputs[i]); };
  auto declare = [&](const TensorType& t) { return builder->input("", t); };
  const size_t first_const = b.n.carry + b.n.xs;
  Tensors carry_grads, const_grads, x_slices, carry_in, y_grads, consts;
  for (size_t i : b.carry) carry_grads.push_back(declare(input_type(i)));
  for (size_t i : b.consts) const_grads.push_back(declare(input_type(first_const + i)));
  for (size_t i = 0; i < b.n.xs; ++i) x_slices.push_back(declare(input_type(b.n.carry + i)));
  for (size_t i = 0; i < b.n.carry; ++i) carry_in.push_back(declare(input_type(i)));
  for (size_t i : b.ys) y_grads.push_back(declare(result_type(b.n.carry + i)));
  for (size_t i = 0; i < b.n.consts; ++i) consts.push_back(declare(input_type(first_const + i)));

  TraceScope trace(builder);
  Tensors args = carry_in;
  args.insert(args.end(), x_slices.begin(), x_slices.end());
  args.insert(args.end(), consts.begin(), consts.end());
  Ints wrt, seeds;
  for (size_t i : b.carry) wrt.push_back(static_cast<int64_t>(i));
  for (size_t i : b.xs) wrt.push_back(static_cast<int64_t>(b.n.carry + i));
  for (size_t i : b.consts) wrt.push_back(static_cast<int64_t>(first_const + i));
  for (size_t i = 0; i < b.carry.size(); ++i)
    seeds.push_back(static_cast<int64_t>(b.carry[i])), args.push_back(carry_grads[i]);
  for (size_t i = 0; i < b.ys.size(); ++i)
    seeds.push_back(static_cast<int64_t>(b.n.carry + b.ys[i])), args.push_back(y_grads[i]);
  const Tensors out =
      apply("vjp", args, {{"function", FunctionRef{function}}, {"wrt", wrt}, {"seeds", seeds}});
  size_t at = b.body.outputs.size();
  for (size_t i = 0; i < b.carry.size(); ++i) builder->output("", out[at++]);
  const size_t x_at = at;
  at += b.xs.size();
  for (size_t i = 0; i < b.consts.size(); ++i)
    builder->output("", apply1("add", {const_grads[i], out[at++]}));
  for (size_t i = 0; i < b.xs.size(); ++i) builder->output("", out[x_at + i]);
  return builder->finish()->name;
}

Tensors scan_gradient(const GradArgs& a) {
  const auto& module = a.in[0].builder()->module();
  const std::string& function = a.attrs.function("function");
  BackwardBody b{module->function(function), {}, {}, {}, {}, {}};
  b.n = counts_of(a.attrs, a.in.size(), b.body.outputs.size());
  const size_t first_const = b.n.carry + b.n.xs;
  for (size_t i = 0; i < b.n.carry; ++i)
    if (is_floating(a.in[i].dtype())) b.carry.push_back(i);
  for (size_t i = 0; i < b.n.xs; ++i)
    if (a.needs[b.n.carry + i]) b.xs.push_back(i);
  for (size_t i = 0; i < b.n.consts; ++i)
    if (a.needs[first_const + i]) b.consts.push_back(i);
  for (size_t i = 0; i < b.n.ys; ++i)
    if (a.grad[b.n.carry + i].defined()) b.ys.push_back(i);

  Tensors args;
  for (size_t i : b.carry) args.push_back(a.grad[i].defined() ? a.grad[i] : zeros_like(a.in[i]));
  for (size_t i : b.consts) args.push_back(zeros_like(a.in[first_const + i]));
  for (size_t i = 0; i < b.n.xs; ++i) args.push_back(a.in[b.n.carry + i]);
  for (size_t i = 0; i < b.n.carry; ++i) args.push_back(a.out[b.n.carry + b.n.ys + i]);
  for (size_t i : b.ys) args.push_back(a.grad[b.n.carry + i]);
  for (size_t i = 0; i < b.n.consts; ++i) args.push_back(a.in[first_const + i]);
  const Tensors out = apply("scan", args,
                            {{"function", FunctionRef{trace_backward(module, function, b)}},
                             {"carry", b.carry.size() + b.consts.size()},
                             {"xs", b.n.xs + b.n.carry + b.ys.size()},
                             {"length", a.attrs.shape("length")},
                             {"reverse", !a.attrs.flag("reverse")}});
  Tensors grads(a.in.size());
  size_t at = 0;
  for (size_t i : b.carry) grads[i] = out[at++];
  for (size_t i : b.consts) grads[first_const + i] = out[at++];
  for (size_t i : b.xs) grads[b.n.carry + i] = out[at++];
  return grads;
}

}  // namespace

FOVEA_OP(scan) {
  op.doc(
        "Runs a body once for each slice of the scanned operands along their first axis. Operands: carried "
        "tensors, scanned tensors, constants. The body takes (carries, slices, constants) and returns "
        "(carries, ys). Results: the last carries, then the ys stacked, then (with save_carries, for "
        "gradients) the carries as each step saw them, stacked.")
      .variadic_input("args")
      .required_attr("function", FunctionRef{"body"}, "the body")
      .required_attr("carry", int64_t{1}, "number of carried tensors")
      .attr("xs", 0, "number of scanned tensors")
      .required_attr("length", Shape{}, "number of steps, as a list of one size")
      .attr("reverse", false, "from the last slice to the first")
      .attr("save_carries", false, "also return every step's incoming carries")
      .keeps("save_carries")
      .infer(infer_scan)
      .gradient(scan_gradient)
      .sample_error({In{2}}, {{"function", FunctionRef{"absent"}}, {"carry", 1}, {"length", Shape{2}}},
                    "no function 'absent'");
}

}  // namespace fovea
