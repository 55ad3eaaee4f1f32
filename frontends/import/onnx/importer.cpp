#include "frontends/import/onnx/importer_internal.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "framework/base/checked.h"
#include "framework/base/error.h"
#include "graph/ir/source_name.h"

namespace fovea::onnx {
namespace {

constexpr int kMaxCallDepth = 48;
constexpr int64_t kMaxInlinedNodes = 2'000'000, kSmall = 1024;

// "ai.onnx" is another name of the default domain.
std::string domain_of(const std::string& domain) { return domain == "ai.onnx" ? "" : domain; }

template <class Imports>
Opsets opsets_of(const Imports& imports) {
  Opsets out;
  for (const auto& o : imports) out[domain_of(o.domain())] = o.version();
  return out;
}

std::string node_name(const onnx_file::NodeProto& node, int line) {
  return node.name().empty() ? "#" + std::to_string(line) : node.name();
}

// The module path in "['', 'encoder', 'encoder.layer.0', 'linear']": the entry before the last.
std::string module_path(const std::string& scopes) {
  std::string last, before;
  for (size_t at = 0; (at = scopes.find('\'', at)) != std::string::npos;) {
    const size_t end = scopes.find('\'', at + 1);
    if (end == std::string::npos) break;
    before = std::exchange(last, scopes.substr(at + 1, end - at - 1));
    at = end + 1;
  }
  return before;
}

// Ops that are computed at once where their operands are small constants: what sizes, positions and scales
// are computed with. None makes much out of little.
bool is_arithmetic(const std::string& op) {
  static const std::set<std::string, std::less<>> ops{"Abs",
                                                      "Add",
                                                      "And",
                                                      "Ceil",
                                                      "Clip",
                                                      "CastLike",
                                                      "Concat",
                                                      "CumSum",
                                                      "Div",
                                                      "Equal",
                                                      "Exp",
                                                      "Floor",
                                                      "Gather",
                                                      "GatherElements",
                                                      "GatherND",
                                                      "Greater",
                                                      "GreaterOrEqual",
                                                      "IsInf",
                                                      "IsNaN",
                                                      "Less",
                                                      "LessOrEqual",
                                                      "Log",
                                                      "MatMul",
                                                      "Max",
                                                      "Min",
                                                      "Mod",
                                                      "Mul",
                                                      "Neg",
                                                      "Not",
                                                      "Or",
                                                      "Pow",
                                                      "Reciprocal",
                                                      "ReduceMax",
                                                      "ReduceMean",
                                                      "ReduceMin",
                                                      "ReduceProd",
                                                      "ReduceSum",
                                                      "Round",
                                                      "Scatter",
                                                      "ScatterElements",
                                                      "ScatterND",
                                                      "Shape",
                                                      "Sign",
                                                      "Size",
                                                      "Sqrt",
                                                      "Sub",
                                                      "Sum",
                                                      "Where",
                                                      "Xor"};
  return ops.contains(op);
}

// Ops whose result is never larger than their operands: done at once on constants of any size.
bool is_rearrangement(const std::string& op) {
  static const std::set<std::string, std::less<>> ops{
      "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Cast", "Identity", "Slice", "Split"};
  return ops.contains(op);
}

int64_t elements_of(const Item& item) {
  if (item.initializer) {
    int64_t n = 1;
    for (int64_t d : item.initializer->dims())
      if (d < 0 || __builtin_mul_overflow(n, d, &n)) return INT64_MAX;
    return n;
  }
  return item.tensor.defined() ? item.tensor.array().size() : static_cast<int64_t>(item.known->values.size());
}

bool is_constant(const Item& item) {
  if (item.initializer || (item.tensor.defined() && !item.tensor.traced())) return true;
  return !item.tensor.defined() && item.known && item.known->is_const();
}

// Puts a text back when it goes.
struct Restore {
  std::string& text;
  std::string before;
  ~Restore() { text = std::move(before); }
};

bool runs_at_once(const std::string& op, const std::vector<Item*>& inputs) {
  if (inputs.empty()) return op == "Constant";
  const bool any_size = is_rearrangement(op);
  if (!any_size && !is_arithmetic(op)) return false;
  return std::all_of(inputs.begin(), inputs.end(), [&](const Item* item) {
    return !item || (is_constant(*item) && (any_size || elements_of(*item) <= kSmall));
  });
}

}  // namespace

std::string symbol_name(std::string_view text) {
  std::string out;
  for (char c : text.substr(0, 200))
    out += std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' ? c : '_';
  if (out.empty() || std::isdigit(static_cast<unsigned char>(out[0]))) out.insert(out.begin(), '_');
  return out;
}

Dim dim_of_text(const std::string& text) {
  if (text.size() <= 200) {
    try {
      return Dim::parse(text);
    } catch (const Error&) {  // no expression: a name with other characters in it
    }
  }
  return Dim::symbol(symbol_name(text));
}

Importer::Importer(const ModelBytes& file, const OnnxOptions& options)
    : file_(file), options_(options), model_(file.model()), module_(std::make_shared<Module>()) {
  builder_ = Builder::make(module_, "main");
  opsets_ = opsets_of(model_.opset_import());
  for (const auto& f : model_.functions()) {
    functions_[{domain_of(f.domain()), f.name()}] = &f;
    function_opsets_[&f] = opsets_of(f.opset_import());
  }
  source_name_ = intern_source_name(file.path());
}

std::shared_ptr<Module> Importer::run() {
  check_ops();
  Scope scope;
  scope.opsets = &opsets_;
  add_inputs(scope);
  add_initializers(model_.graph(), scope, true);
  convert_nodes(model_.graph().node(), scope);
  add_outputs(scope);
  builder_->finish();
  return module_;
}

// Every op must have a converter or be a function of the file; all that have not are named together.
void Importer::check_ops() {
  std::map<std::string, std::vector<std::string>> unknown;
  std::set<const onnx_file::FunctionProto*> seen;
  std::vector<std::pair<const google::protobuf::RepeatedPtrField<onnx_file::NodeProto>*, std::string>> work;
  work.emplace_back(&model_.graph().node(), "");
  while (!work.empty()) {
    const auto [nodes, prefix] = work.back();
    work.pop_back();
    for (int i = 0; i < nodes->size(); ++i) {
      const onnx_file::NodeProto& node = (*nodes)[i];
      const std::string domain = domain_of(node.domain());
      for (const auto& a : node.attribute()) {
        if (a.has_g()) work.emplace_back(&a.g().node(), prefix);
        for (const auto& g : a.graphs()) work.emplace_back(&g.node(), prefix);
      }
      if (auto f = functions_.find({domain, node.op_type()}); f != functions_.end()) {
        if (seen.insert(f->second).second) work.emplace_back(&f->second->node(), node.op_type() + "/");
      } else if (!domain.empty() || !find_converter(node.op_type())) {
        unknown[domain.empty() ? node.op_type() : domain + "." + node.op_type()].push_back(
            prefix + node_name(node, i + 1));
      }
    }
  }
  if (unknown.empty()) return;
  std::string text = std::to_string(unknown.size()) + (unknown.size() == 1 ? " op" : " ops") +
                     " of the model cannot be converted:";
  constexpr size_t kNamed = 8;
  for (const auto& [op, names] : unknown) {
    text += "\n  " + op + " (" + std::to_string(names.size()) + (names.size() == 1 ? " node: " : " nodes: ");
    for (size_t i = 0; i < std::min(names.size(), kNamed); ++i)
      text += (i ? ", '" : "'") + names[i].substr(0, 100) + "'";
    text += names.size() > kNamed ? ", ...)" : ")";
  }
  fail(ErrorKind::Unsupported, "\"" + file_.path() + "\": " + text);
}

TensorType Importer::input_type(const onnx_file::ValueInfoProto& info, std::string& name) {
  name = info.name();
  const std::string what = "\"" + file_.path() + "\": input '" + name + "'";
  if (!info.type().has_tensor_type()) fail(ErrorKind::Unsupported, what + " is no dense tensor");
  const auto& type = info.type().tensor_type();
  const auto dtype = dtype_of_onnx(type.elem_type());
  if (!dtype)
    fail(ErrorKind::Unsupported, what + " holds elements of type " + onnx_dtype_name(type.elem_type()));
  if (auto at = options_.shapes.find(name); at != options_.shapes.end()) return {*dtype, at->second};
  if (!type.has_shape())
    fail(ErrorKind::InvalidArgument, what + " has no shape in the file\n  hint: give one");
  Shape shape;
  for (const auto& d : type.shape().dim()) {
    if (d.has_dim_value() && d.dim_value() >= 0)
      shape.emplace_back(d.dim_value());
    else if (d.has_dim_param() && !d.dim_param().empty())
      shape.push_back(dim_of_text(d.dim_param()));
    else
      shape.push_back(Dim::symbol(symbol_name(name) + "." + std::to_string(shape.size())));
  }
  return {*dtype, shape};
}

// What the caller says that an input will hold.
void Importer::give(Item& input, const Array& value, const std::string& name) {
  const TensorType type = input.tensor.type();
  if (value.dtype() != type.dtype || value.rank() != static_cast<int64_t>(type.shape.size()))
    invalid("the value given for input '" + name + "' is " +
            to_string(TensorType{value.dtype(), to_shape(value.shape())}) + ", the input is " +
            to_string(type));
  input.tensor = Tensor(value);
}

void Importer::add_inputs(Scope& scope) {
  std::set<std::string_view> initialized;
  for (const auto& t : model_.graph().initializer()) initialized.insert(t.name());
  std::set<std::string> names;
  for (const auto& info : model_.graph().input()) {
    if (initialized.contains(info.name())) continue;  // old files list initialisers as inputs, too
    std::string name;
    const TensorType type = input_type(info, name);
    names.insert(name);
    if (!scope.items.emplace(name, Item{builder_->input(name, type), {}, nullptr, nullptr}).second)
      fail(ErrorKind::InvalidArgument, "\"" + file_.path() + "\": two inputs are named '" + name + "'");
    const auto by_name = options_.values.find(name);
    const auto by_position = options_.positional_values.find(names.size() - 1);
    if (by_name != options_.values.end()) give(scope.items[name], by_name->second, name);
    if (by_position != options_.positional_values.end()) give(scope.items[name], by_position->second, name);
  }
  for (const auto& [name, shape] : options_.shapes)
    if (!names.contains(name))
      invalid("a shape is given for input '" + name + "', which \"" + file_.path() + "\" does not have");
}

void Importer::add_initializers(const onnx_file::GraphProto& graph, Scope& scope, bool outermost) {
  for (const auto& t : graph.initializer()) {
    Item item;
    item.initializer = &t;
    const auto dtype = dtype_of_onnx(t.data_type());
    if (outermost && options_.weights && t.dims_size() > 0 && dtype && is_floating(*dtype)) {
      Array array = file_.read(t, "initializer '" + t.name() + "'");
      item.initializer = nullptr;
      item.tensor = builder_->input("param/" + t.name(), {array.dtype(), to_shape(array.shape())});
      options_.weights->emplace_back("param/" + t.name(), std::move(array));
    }
    scope.items[t.name()] = std::move(item);
  }
}

void Importer::add_outputs(Scope& scope) {
  for (const auto& out : model_.graph().output()) {
    if (out.has_type() && !out.type().has_tensor_type())
      fail(ErrorKind::Unsupported,
           "\"" + file_.path() + "\": output '" + out.name() + "' is no dense tensor");
    Item* item = scope.find(out.name());
    if (!item)
      fail(ErrorKind::InvalidArgument, "\"" + file_.path() + "\": no node makes output '" + out.name() + "'");
    const TraceScope trace(builder_);
    builder_->output(out.name(), tensor_of(*item));
  }
}

const Tensor& Importer::tensor_of(Item& item) {
  if (item.tensor.defined()) return item.tensor;
  if (item.sequence) fail(ErrorKind::Unsupported, "a sequence of tensors stands where a tensor is needed");
  if (item.initializer) {
    item.tensor = file_.read(*item.initializer, "initializer '" + item.initializer->name() + "'");
    item.initializer = nullptr;
  } else if (!item.known->is_const() && Builder::current() && Builder::current() != builder_.get()) {
    return passing_.emplace_back(to_tensor(*item.known));
  } else {
    item.tensor = to_tensor(*item.known);
  }
  return item.tensor;
}

// Names the scope of the nodes to come. A new one goes to the end of the module's list, where it is found at
// once: looking through the list for every node would take quadratic time.
void Importer::enter_scope(const std::string& scope) {
  if (used_scopes_.insert(scope).second && module_->scopes.back() != scope) module_->scopes.push_back(scope);
}

template <class Nodes>
void Importer::convert_nodes(const Nodes& nodes, Scope& scope) {
  for (int i = 0; i < nodes.size(); ++i) convert_node(nodes[i], scope, i + 1);
}

std::vector<Item> Importer::convert_subgraph(const onnx_file::GraphProto& graph, Scope& outer,
                                             const std::string& name, const std::vector<Item>& arguments) {
  if (depth_ >= kMaxCallDepth)
    fail(ErrorKind::Unsupported, "graphs are nested more than " + std::to_string(kMaxCallDepth) + " deep");
  Scope scope;
  scope.parent = &outer;
  scope.opsets = outer.opsets;
  scope.arguments = outer.arguments;
  scope.prefix = outer.prefix + name + ".";
  for (size_t i = 0; i < arguments.size() && i < static_cast<size_t>(graph.input_size()); ++i)
    scope.items[graph.input(static_cast<int>(i)).name()] = arguments[i];
  add_initializers(graph, scope, false);
  ++depth_;
  convert_nodes(graph.node(), scope);
  --depth_;
  std::vector<Item> out;
  for (const auto& o : graph.output()) {
    Item* item = scope.find(o.name());
    if (!item) fail(ErrorKind::InvalidArgument, "no node makes the subgraph's output '" + o.name() + "'");
    out.push_back(*item);
  }
  return out;
}

void Importer::convert_node(const onnx_file::NodeProto& node, Scope& scope, int line) {
  if (depth_ == 0) line_ = line;  // nodes of functions and subgraphs lie where they are called
  const std::string own = node_name(node, line), name = scope.prefix + own;
  if (depth_ > 0 && ++converted_ > kMaxInlinedNodes)
    fail(ErrorKind::Unsupported, "\"" + file_.path() + "\": functions and subgraphs have more than " +
                                     std::to_string(kMaxInlinedNodes) + " nodes when they are inlined");
  try {
    if (inline_function(node, scope, name)) return;
    auto version = scope.opsets->find("");
    const int64_t opset = version == scope.opsets->end() ? 1 : version->second;
    std::vector<Item> results = run_converter(node, scope, name, opset);
    for (int i = 0; i < node.output_size(); ++i) {
      const std::string& output = node.output(i);
      if (output.empty()) continue;
      const auto at = static_cast<size_t>(i);
      if (at >= results.size() ||
          (!results[at].tensor.defined() && !results[at].known && !results[at].sequence))
        fail(ErrorKind::Unsupported, "node '" + name + "' (" + node.op_type() + "): its output " +
                                         std::to_string(i) + " is not supported");
      if (!scope.items.emplace(output, std::move(results[at])).second)
        fail(ErrorKind::InvalidArgument, "two nodes make the value '" + output + "'");
    }
  } catch (const Error& e) {
    if (e.message().find("node '" + name) != std::string::npos) throw;
    throw e.with_context("node '" + name + "' (" + node.op_type() + ")");
  }
}

bool Importer::inline_function(const onnx_file::NodeProto& node, Scope& scope, const std::string& name) {
  const auto found = functions_.find({domain_of(node.domain()), node.op_type()});
  if (found == functions_.end()) return false;
  const onnx_file::FunctionProto& f = *found->second;
  if (depth_ >= kMaxCallDepth)
    fail(ErrorKind::InvalidArgument, "functions call each other more than " + std::to_string(kMaxCallDepth) +
                                         " deep, the last is '" + f.name() + "'");
  Scope inner;
  inner.opsets = f.opset_import_size() > 0 ? &function_opsets_.at(&f) : &opsets_;
  inner.prefix = name + ".";
  AttributeMap arguments;
  for (const auto& a : node.attribute()) {
    const onnx_file::AttributeProto* value = &a;
    if (!a.ref_attr_name().empty()) {
      if (!scope.arguments) continue;
      const auto at = scope.arguments->find(a.ref_attr_name());
      if (at == scope.arguments->end()) continue;
      value = at->second;
    }
    arguments[a.name()] = value;
  }
  inner.arguments = &arguments;
  for (int i = 0; i < f.input_size() && i < node.input_size(); ++i) {
    if (node.input(i).empty()) continue;
    Item* item = scope.find(node.input(i));
    if (!item) fail(ErrorKind::InvalidArgument, "no node before it makes its input '" + node.input(i) + "'");
    if (item->initializer) tensor_of(*item);  // read once, not once a call
    inner.items[f.input(i)] = *item;
  }
  ++depth_;
  convert_nodes(f.node(), inner);
  --depth_;
  for (int i = 0; i < f.output_size() && i < node.output_size(); ++i) {
    Item* item = inner.find(f.output(i));
    if (!item) fail(ErrorKind::InvalidArgument, "no node makes the function's output '" + f.output(i) + "'");
    if (!node.output(i).empty()) scope.items[node.output(i)] = *item;
  }
  return true;
}

std::vector<Item> Importer::run_converter(const onnx_file::NodeProto& node, Scope& scope,
                                          const std::string& name, int64_t opset) {
  NodeState state{*this, scope, node, name, opset, {}, {}, {}};
  for (const std::string& input : node.input()) {
    state.inputs.push_back(input.empty() ? nullptr : scope.find(input));
    if (!input.empty() && !state.inputs.back())
      fail(ErrorKind::InvalidArgument, "no node before it makes its input '" + input + "'");
  }
  state.known.resize(static_cast<size_t>(node.output_size()));
  state.sequences.resize(state.known.size());
  const bool at_once = runs_at_once(node.op_type(), state.inputs);
  // Inside a branch that is being traced, that trace goes on.
  const std::shared_ptr<Builder> recording =
      Builder::current() ? Builder::current()->shared_from_this() : builder_;
  const TraceScope trace(at_once ? nullptr : recording);
  // A node of a branch that is being traced stands below the If's scope, which is open.
  const std::string path = module_path(node.doc_string()), outer = open_scope_;
  const std::string own = !outer.empty() ? name.substr(scope.prefix.size())
                          : path.empty() ? name
                                         : path + "." + name;
  open_scope_ = outer.empty() ? own : outer + "." + own;
  const Restore restore{open_scope_, outer};
  enter_scope(open_scope_);
  const NameScope name_scope(own);
  const SourceScope source(Source{source_name_, line_});

  Context c(state);
  std::vector<Item> out(static_cast<size_t>(node.output_size()));
  if (node.op_type() == "If" && !state.inputs.empty() && state.inputs[0]) {
    const auto condition = known_of(*this, *state.inputs[0]);
    if (condition && condition->is_const() && condition->values.size() == 1) {
      const char* branch = condition->values[0].value() != 0 ? "then_branch" : "else_branch";
      const auto* attribute = find_attribute(state, branch);
      if (!attribute || !attribute->has_g()) c.invalid(std::string("it has no ") + branch);
      return convert_subgraph(attribute->g(), scope, name);
    }
  }
  if (node.op_type() == "Loop") return convert_loop(c, state);
  if (node.op_type() == "Scan") return convert_scan(c, state);
  if (auto folded = fold_known(c)) {
    for (size_t i = 0; i < folded->size() && i < out.size(); ++i) out[i].known = std::move((*folded)[i]);
    if (node.op_type() != "Range") return out;  // a count is better kept as such
  }
  std::vector<Tensor> tensors = find_converter(node.op_type())(c);
  for (size_t i = 0; i < out.size(); ++i) {
    if (i < tensors.size()) out[i].tensor = std::move(tensors[i]);
    if (state.known[i]) out[i].known = std::move(state.known[i]);
    out[i].sequence = std::move(state.sequences[i]);
  }
  return out;
}

}  // namespace fovea::onnx

namespace fovea {

std::shared_ptr<Module> import_onnx(const std::string& path, const OnnxOptions& options) {
  try {
    const onnx::ModelBytes file(path, onnx::ModelBytes::Root::model);
    return onnx::Importer(file, options).run();
  } catch (const std::bad_alloc&) {
    fail(ErrorKind::ResourceExhausted, "\"" + path + "\": no memory is left to load it");
  }
}

std::pair<std::string, Array> load_onnx_tensor(const std::string& path) {
  const onnx::ModelBytes file(path, onnx::ModelBytes::Root::tensor);
  return {file.tensor().name(), file.read(file.tensor(), "the tensor")};
}

}  // namespace fovea
