#include "graph/ir/signature.h"

namespace fovea {

const Graph& called_function(InferContext& c, std::string_view attr) {
  const std::string& name = c.attrs.function(attr);
  if (!c.module) c.fail("names the function '" + name + "' outside a module");
  auto at = c.module->functions.find(name);
  if (at == c.module->functions.end()) c.fail("the module has no function '" + name + "'");
  return *at->second;
}

const Graph& called_with_operands(InferContext& c, std::string_view attr) {
  const Graph& f = called_function(c, attr);
  if (f.inputs.size() != c.in.size())
    c.fail("function '" + f.name + "' takes " + std::to_string(f.inputs.size()) + " arguments, got " +
           std::to_string(c.in.size()));
  check_arguments(c, f, 0, 0, c.in.size());
  return f;
}

void check_arguments(InferContext& c, const Graph& function, size_t at, size_t first, size_t count) {
  if (at + count > function.inputs.size() || first + count > c.in.size())
    c.fail("function '" + function.name + "' takes " + std::to_string(function.inputs.size()) +
           " arguments, got " + std::to_string(c.in.size()));
  for (size_t i = 0; i < count; ++i) {
    const TensorType& want = function.nodes[function.inputs[at + i]].outputs[0];
    const TensorType& got = c.in[first + i];
    const std::string which =
        "argument " + std::to_string(first + i) + " of function '" + function.name + "'";
    if (want.dtype != got.dtype || want.shape.size() != got.shape.size())
      c.fail(which + " is " + to_string(got) + ", declared " + to_string(want));
    for (size_t d = 0; d < want.shape.size(); ++d)
      c.same(got.shape[d], want.shape[d], which + ": axis " + std::to_string(d) + " is {a}, declared {b}");
  }
}

std::vector<TensorType> result_types(const Graph& function) {
  std::vector<TensorType> out;
  for (const Value& v : function.outputs) out.push_back(function.type(v));
  return out;
}

}  // namespace fovea
