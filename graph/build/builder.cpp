#include "graph/build/builder.h"

#include <algorithm>

#include "framework/base/error.h"
#include "graph/build/inline.h"

namespace fovea {
namespace {

thread_local std::vector<std::shared_ptr<Builder>> traces;
thread_local std::string scope_path;

}  // namespace

NameScope::NameScope(std::string_view name) : length_(scope_path.size()) {
  if (!scope_path.empty() && !name.empty()) scope_path += '.';
  scope_path += name;
}
NameScope::~NameScope() { scope_path.resize(length_); }

NodeOrigin::NodeOrigin(Builder& builder, const Node& node) : source_(node.source), saved_path_(scope_path) {
  scope_path = builder.module()->scopes[node.scope];
}
NodeOrigin::~NodeOrigin() { scope_path = std::move(saved_path_); }

TraceScope::TraceScope(std::shared_ptr<Builder> builder) { traces.push_back(std::move(builder)); }
TraceScope::~TraceScope() { traces.pop_back(); }

Builder* Builder::current() { return traces.empty() ? nullptr : traces.back().get(); }

Builder::Builder(std::shared_ptr<Module> module, const std::string& name)
    : module_(std::move(module)), graph_(std::make_shared<Graph>()) {
  graph_->name = name;
}

std::shared_ptr<Builder> Builder::make(std::shared_ptr<Module> module, const std::string& name) {
  return std::shared_ptr<Builder>(new Builder(std::move(module), name));
}

Tensor Builder::input(const std::string& name, TensorType type, Source source) {
  const NodeId id = add_node(find_op("input"), {},
                             {{"name", name}, {"dtype", type.dtype}, {"shape", type.shape}}, source, 0);
  graph_->inputs.push_back(id);
  return tensor({id, 0});
}

Tensor Builder::constant(const Array& array, Source source) {
  // The same memory seen again in the same way is the same constant.
  for (const auto& [memory, value] : constants_) {
    if (memory != array.raw() || array.size() == 0) continue;
    const Array& known = module_->constants[graph_->nodes[value.node].attrs.integer("index")];
    if (known.dtype() == array.dtype() && known.shape() == array.shape() &&
        known.strides() == array.strides())
      return tensor(value);
  }
  const int64_t index = static_cast<int64_t>(module_->constants.size());
  module_->constants.push_back(array);
  const NodeId id =
      add_node(find_op("constant"), {},
               {{"index", index}, {"dtype", array.dtype()}, {"shape", to_shape(array.shape())}}, source, 0);
  constants_.emplace_back(array.raw(), Value{id, 0});
  return tensor({id, 0});
}

NodeId Builder::add_node(const OpDecl& op, std::vector<Value> inputs, Attrs attrs, Source source,
                         int32_t scope) {
  std::vector<TensorType> types;
  types.reserve(inputs.size());
  for (const Value& v : inputs) types.push_back(graph_->type(v));
  const size_t guards_before = graph_->guards.size();
  std::vector<TensorType> out;
  try {
    out = op.check(attrs, types, module_.get(), &graph_->guards);
  } catch (const Error& e) {
    std::string where;
    if (*source.file) where = std::string("at ") + source.file + ":" + std::to_string(source.line);
    if (scope > 0) where += (where.empty() ? "in " : " in ") + module_->scopes[scope];
    if (where.empty()) throw;
    throw e.with_context(where);
  }
  for (size_t i = guards_before; i < graph_->guards.size(); ++i) graph_->guards[i].source = source;
  graph_->nodes.push_back({&op, std::move(attrs), std::move(inputs), std::move(out), source, scope});
  return static_cast<NodeId>(graph_->nodes.size()) - 1;
}

std::vector<Tensor> Builder::add(const OpDecl& op, const std::vector<Tensor>& inputs, Attrs attrs,
                                 Source source) {
  std::vector<Value> values;
  values.reserve(inputs.size());
  for (const Tensor& x : inputs) values.push_back(import(x).value());
  const int32_t scope = module_->scope_id(scope_path);
  const NodeId id = add_node(op, std::move(values), std::move(attrs), source, scope);
  std::vector<Tensor> out;
  for (size_t i = 0; i < graph_->nodes[id].outputs.size(); ++i)
    out.push_back(tensor({id, static_cast<int32_t>(i)}));
  return out;
}

Tensor Builder::import(const Tensor& x) {
  if (x.builder().get() == this) return x;
  if (!x.traced()) return constant(x.array());
  bool enclosing = false;
  for (const auto& t : traces) enclosing = enclosing || t.get() == x.builder().get();
  if (!enclosing)
    invalid("a traced tensor is used outside the function that was being traced when it was made");
  for (size_t i = 0; i < captures_.size(); ++i)
    if (captures_[i].builder() == x.builder() && captures_[i].value() == x.value())
      return tensor(captured_as_[i]);
  captures_.push_back(x);
  const Tensor in = input("captured." + std::to_string(captures_.size() - 1), x.type());
  captured_as_.push_back(in.value());
  return in;
}

void Builder::output(const std::string& name, const Tensor& x) {
  graph_->outputs.push_back(import(x).value());
  graph_->output_names.push_back(name);
}

std::shared_ptr<Graph> Builder::finish() {
  if (module_->functions.count(graph_->name)) graph_->name = module_->unique_name(graph_->name);
  module_->functions[graph_->name] = graph_;
  return graph_;
}

}  // namespace fovea
