#include "frontends/cpp/control.h"

#include <algorithm>

#include "framework/base/error.h"
#include "frontends/cpp/record.h"
#include "graph/build/builder.h"

namespace fovea {
namespace {

// Two functions that are given the same operands: the captures of both behind the arguments of each.
void share_captures(const std::shared_ptr<Module>& module, Recorded& a, Recorded& b,
                    std::vector<Tensor>& operands) {
  std::vector<Tensor> all = a.captures;
  for (const Tensor& t : b.captures)
    if (std::none_of(all.begin(), all.end(),
                     [&](const Tensor& x) { return x.builder() == t.builder() && x.value() == t.value(); }))
      all.push_back(t);
  for (Recorded* r : {&a, &b}) add_captured_inputs(*module, *r, all);
  operands.insert(operands.end(), all.begin(), all.end());
}

}  // namespace

std::vector<Tensor> scan(const Function& body, const std::vector<Tensor>& carry,
                         const std::vector<Tensor>& xs, Dim length, bool reverse, Source source) {
  for (size_t i = 0; i < xs.size(); ++i)
    if (xs[i].rank() == 0)
      invalid_at(source,
                 "scan: scanned operand " + std::to_string(i) + " is a scalar: there is no axis to scan");
  if (!xs.empty()) length = xs[0].dim(0);
  std::vector<Tensor> operands = carry;
  operands.insert(operands.end(), xs.begin(), xs.end());
  return in_trace(operands, [&](const std::shared_ptr<Module>& module, const std::vector<Tensor>& args) {
    std::vector<Spec> specs = specs_of(args);
    for (size_t i = carry.size(); i < args.size(); ++i)
      specs[i].type.shape.erase(specs[i].type.shape.begin());
    const Recorded r = record(module, body, specs, "scan");
    std::vector<Tensor> all = args;
    all.insert(all.end(), r.captures.begin(), r.captures.end());
    return apply("scan", all,
                 {{"function", FunctionRef{r.name}},
                  {"carry", carry.size()},
                  {"xs", xs.size()},
                  {"length", Shape{length}},
                  {"reverse", reverse}},
                 source);
  });
}

std::vector<Tensor> while_loop(const Function& condition, const Function& body,
                               const std::vector<Tensor>& carry, int64_t max_iterations, Source source) {
  return in_trace(carry, [&](const std::shared_ptr<Module>& module, const std::vector<Tensor>& args) {
    Recorded c = record(module, condition, specs_of(args), "condition"),
             b = record(module, body, specs_of(args), "while");
    std::vector<Tensor> all = args;
    share_captures(module, c, b, all);
    return apply("while_loop", all,
                 {{"condition", FunctionRef{c.name}},
                  {"function", FunctionRef{b.name}},
                  {"carry", carry.size()},
                  {"max_iterations", max_iterations}},
                 source);
  });
}

std::vector<Tensor> cond(const Tensor& predicate, const Function& then, const Function& otherwise,
                         const std::vector<Tensor>& args, Source source) {
  std::vector<Tensor> operands = {predicate};
  operands.insert(operands.end(), args.begin(), args.end());
  return in_trace(operands, [&](const std::shared_ptr<Module>& module, const std::vector<Tensor>& in) {
    const std::vector<Tensor> rest(in.begin() + 1, in.end());
    Recorded yes = record(module, then, specs_of(rest), "then"),
             no = record(module, otherwise, specs_of(rest), "otherwise");
    std::vector<Tensor> all = in;
    share_captures(module, yes, no, all);
    return apply("cond", all, {{"then", FunctionRef{yes.name}}, {"otherwise", FunctionRef{no.name}}}, source);
  });
}

}  // namespace fovea
