#include "frontends/cpp/record.h"

#include "framework/base/error.h"
#include "graph/build/builder.h"

namespace fovea {

Recorded record(const std::shared_ptr<Module>& module, const Function& fn, const std::vector<Spec>& specs,
                const std::string& name) {
  auto builder = Builder::make(module, name);
  std::vector<Tensor> args;
  for (const Spec& s : specs) args.push_back(builder->input(s.name, s.type));
  {
    TraceScope trace(builder);
    for (const Tensor& t : fn(args)) {
      if (!t.defined()) invalid("the traced function '" + name + "' returned an undefined tensor");
      builder->output("", t);
    }
  }
  return {builder->finish()->name, builder->captures()};
}

void add_captured_inputs(Module& module, Recorded& recorded, const std::vector<Tensor>& captures) {
  Graph& graph = module.function(recorded.name);
  const size_t declared = graph.inputs.size() - recorded.captures.size();
  std::vector<NodeId> inputs(graph.inputs.begin(),
                             graph.inputs.begin() + static_cast<std::ptrdiff_t>(declared));
  for (const Tensor& want : captures) {
    NodeId found = -1;
    for (size_t i = 0; i < recorded.captures.size(); ++i)
      if (recorded.captures[i].builder() == want.builder() && recorded.captures[i].value() == want.value())
        found = graph.inputs[declared + i];
    if (found < 0) {  // an input that nobody reads may stand at the end of the node list
      Attrs attrs{{"name", "captured"}, {"dtype", want.dtype()}, {"shape", want.shape()}};
      graph.nodes.push_back({&find_op("input"), attrs, {}, {want.type()}, {}, 0});
      found = static_cast<NodeId>(graph.nodes.size()) - 1;
    }
    inputs.push_back(found);
  }
  graph.inputs = std::move(inputs);
  recorded.captures = captures;
}

void invalid_at(Source source, const std::string& message) {
  const Error error(ErrorKind::InvalidArgument, message);
  if (!*source.file) throw error;
  throw error.with_context(std::string("at ") + source.file + ":" + std::to_string(source.line));
}

std::vector<Spec> specs_of(const std::vector<Tensor>& args) {
  std::vector<Spec> out;
  for (const Tensor& a : args) out.emplace_back(a.dtype(), a.shape());
  return out;
}

std::vector<Tensor> in_trace(const std::vector<Tensor>& args,
                             const std::function<std::vector<Tensor>(const std::shared_ptr<Module>&,
                                                                     const std::vector<Tensor>&)>& body) {
  if (Builder* open = Builder::current()) return body(open->module(), args);
  for (const Tensor& a : args)
    if (a.traced()) {
      TraceScope scope(a.builder());
      return body(a.builder()->module(), args);
    }
  auto module = std::make_shared<Module>();
  const Recorded main = record(
      module, [&](const std::vector<Tensor>& in) { return body(module, in); }, specs_of(args), "main");
  std::vector<Array> arrays;
  for (const Tensor& a : args) arrays.push_back(a.array());
  std::vector<Tensor> out;
  for (Array& a : Program(module, main.name).run(arrays)) out.emplace_back(std::move(a));
  return out;
}

}  // namespace fovea
