#include <algorithm>

#include "framework/base/checked.h"
#include "framework/base/error.h"
#include "graph/build/builder.h"
#include "optim/lower/dispatch.h"
#include "optim/lower/lowering.h"

namespace fovea {
namespace {

constexpr int64_t kFoldBytes = 64 << 10;  // constants made at plan time stay small
constexpr int kMaxDepth = 64;

std::vector<bool> live_nodes(const Graph& graph) {
  std::vector<bool> live(graph.nodes.size(), false);
  for (const Value& v : graph.outputs) live[v.node] = true;
  for (size_t id = graph.nodes.size(); id-- > 0;) {
    const Node& n = graph.nodes[id];
    if (n.op->has_side_effect()) live[id] = true;
    if (!live[id]) continue;
    for (const Value& v : n.inputs) live[v.node] = true;
  }
  return live;
}

int64_t size_in(const Dim& d, const Bindings& bindings, const std::string& attribute) {
  if (d.is_const()) return d.value();
  const auto v = d.eval(bindings);  // may be negative: paddings crop
  if (!v)
    invalid("attribute '" + attribute + "': the size " + d.str() +
            " is not known: no input determines its symbols");
  return *v;
}

// Appends everything a backend is told of an attribute list, as bytes.
class AttrBytes {
 public:
  AttrBytes(const Attrs& attrs, const Bindings& bindings, std::string& out) : bindings_(bindings), out_(out) {
    for (const auto& [name, value] : attrs) {
      put(name.size());
      out_ += name;
      out_ += static_cast<char>(value.index());
      name_ = &name;
      std::visit([this](const auto& v) { put(v); }, value);
    }
  }

 private:
  template <class T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void put(const T& x) { out_.append(reinterpret_cast<const char*>(&x), sizeof x); }
  void put(const std::string& text) {
    put(text.size());
    out_ += text;
  }
  void put(const FunctionRef& f) { put(f.name); }
  void put(const Shape& shape) {
    put(shape.size());
    for (const Dim& d : shape) put(size_in(d, bindings_, *name_));
  }
  template <class T>
  void put(const std::vector<T>& list) {
    put(list.size());
    out_.append(reinterpret_cast<const char*>(list.data()), list.size() * sizeof(T));
  }

  const Bindings& bindings_;
  std::string& out_;
  const std::string* name_ = nullptr;
};

}  // namespace

Attrs concrete(const Attrs& attrs, const Bindings& bindings) {
  Attrs out = attrs;
  for (const auto& [name, value] : attrs)
    if (const Shape* s = std::get_if<Shape>(&value); s && !is_concrete(*s)) {
      Shape numbers;
      for (const Dim& d : *s) numbers.push_back(size_in(d, bindings, name));
      out.set(name, numbers);
    }
  return out;
}

Attrs for_kernel(const Attrs& attrs) {
  Attrs out = attrs;
  for (const auto& [name, value] : attrs)
    if (const Shape* s = std::get_if<Shape>(&value)) {
      Ints ints;
      for (const Dim& d : *s) ints.push_back(d.value());
      out.set(name, ints);
    }
  return out;
}

int32_t Lowering::layout_of(const TensorType& type, const Bindings& bindings) {
  shape_.clear();
  for (const Dim& d : type.shape) {
    const auto v = d.is_const() ? d.value() : d.eval(bindings);
    if (!v) invalid("the size " + d.str() + " is not known: no input determines its symbols");
    if (*v < 0) invalid("the size " + d.str() + " is " + std::to_string(*v) + ", less than 0");
    shape_.push_back(*v);
  }
  return layouts_.find(type.dtype, shape_);
}

int32_t Lowering::add_view(View view) {
  views_.push_back(view);
  return static_cast<int32_t>(views_.size()) - 1;
}

int32_t Lowering::add_storage(Storage storage) {
  storages_.push_back(storage);
  return static_cast<int32_t>(storages_.size()) - 1;
}

int32_t Lowering::add_constant(Array array) {
  const int32_t storage = add_storage({.kind = StorageKind::constant,
                                       .index = static_cast<int32_t>(constants_.size()),
                                       .bytes = array.nbytes()});
  const int32_t id = add_view({storage, layouts_.find(array.dtype(), array.shape(), array.strides()), 0});
  constants_.push_back(std::move(array));
  return id;
}

int32_t Lowering::fresh(int32_t layout) {
  return add_view({add_storage({.bytes = layouts_[layout].bytes}), layout, 0});
}

void Lowering::emit_graph(const Module& module, const Graph& graph, IdSpan args, const Bindings& bindings,
                          bool outermost, Ids& out) {
  if (++depth_ > kMaxDepth)
    invalid("'" + graph.name + "': decompositions are nested more than " + std::to_string(kMaxDepth) +
            " deep");
  const std::vector<bool> live = live_nodes(graph);
  // The views of node n's outputs are at values[first[n]] and behind.
  Ids first(graph.nodes.size(), -1), values, in;
  values.reserve(graph.nodes.size());
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    first[graph.inputs[i]] = static_cast<int32_t>(values.size());
    values.push_back(args[i]);
  }
  for (size_t id = 0; id < graph.nodes.size(); ++id) {
    if (!live[id] || first[id] >= 0) continue;
    const Node& node = graph.nodes[id];
    if (outermost) current_node_ = static_cast<int32_t>(id);
    in.clear();
    for (const Value& v : node.inputs) in.push_back(values[first[v.node] + v.index]);
    first[id] = static_cast<int32_t>(values.size());
    emit_node(module, node, in, bindings, values);
  }
  for (const Value& v : graph.outputs) out.push_back(values[first[v.node] + v.index]);
  --depth_;
}

void Lowering::emit_node(const Module& module, const Node& node, IdSpan in, const Bindings& bindings,
                         Ids& out) {
  static const OpDecl &constant = find_op("constant"), &input = find_op("input"), &scan = find_op("scan"),
                      &while_loop = find_op("while_loop"), &cond = find_op("cond");
  const OpDecl* op = node.op;
  if (op == &constant) return out.push_back(add_constant(module.constants[node.attrs.integer("index")]));
  if (op == &input)
    invalid("the input '" + node.attrs.text("name") + "' is not among the function's arguments");
  if (op == &scan || op == &while_loop || op == &cond)
    return emit_control(node, concrete(node.attrs, bindings), in, bindings, out);
  constexpr size_t kFew = 8;
  int32_t few[kFew];
  Ids many;
  std::span<int32_t> out_layouts(few, std::min(kFew, node.outputs.size()));
  if (node.outputs.size() > kFew) {
    many.resize(node.outputs.size());
    out_layouts = many;
  }
  for (size_t i = 0; i < node.outputs.size(); ++i) out_layouts[i] = layout_of(node.outputs[i], bindings);
  if (op->is_view() && emit_view(node, bindings, in[0], out_layouts[0], out)) return;
  emit_op(*op, node.attrs, bindings, in, out_layouts, node, out);
}

bool Lowering::emit_view(const Node& node, const Bindings& bindings, int32_t in, int32_t out_layout,
                         Ids& out) {
  const View v = views_[in];
  const OperandSpec &from = layouts_[v.layout].spec, &to = layouts_[out_layout].spec;
  Dims strides;
  int64_t offset = 0;
  if (!node.op->view_fn()(concrete(node.attrs, bindings), from.shape, from.strides, to.shape, strides,
                          offset))
    return false;
  out.push_back(add_view({v.storage, layouts_.find(to.dtype, to.shape, strides), v.offset + offset}));
  return true;
}

int32_t Lowering::copy_of(int32_t view, const Node& origin) {
  const OperandSpec& s = layout(view).spec;
  const int32_t to = layouts_.find(s.dtype, s.shape);
  Ids copy;
  emit_op(find_op("copy"), {}, {}, {&view, 1}, {&to, 1}, origin, copy);
  return copy[0];
}

int32_t Lowering::contiguous(int32_t view, const Node& origin) {
  if (layout(view).contiguous) return view;
  if (auto at = made_contiguous_.find(view); at != made_contiguous_.end()) return at->second;
  const int32_t copy = copy_of(view, origin);
  made_contiguous_[view] = copy;
  return copy;
}

KnownOp& Lowering::known_op(const OpDecl& op, const Attrs& attrs, const Bindings& bindings, IdSpan in,
                            IdSpan out_layouts) {
  key_.clear();
  const OpDecl* p = &op;
  key_.append(reinterpret_cast<const char*>(&p), sizeof p);
  for (int32_t v : in) key_.append(reinterpret_cast<const char*>(&views_[v].layout), sizeof(int32_t));
  key_.append(4, '\xff');
  for (int32_t l : out_layouts) key_.append(reinterpret_cast<const char*>(&l), sizeof l);
  key_.append(4, '\xff');
  AttrBytes(attrs, bindings, key_);
  if (auto at = known_.find(std::string_view(key_)); at != known_.end()) return at->second;
  return known_[key_];  // node-based: the reference stays good
}

KernelRequest Lowering::request_of(const OpDecl& op, const Attrs& attrs, const Bindings& bindings, IdSpan in,
                                   IdSpan out_layouts) const {
  KernelRequest request{op.name(), for_kernel(concrete(attrs, bindings)), {}, {}};
  for (int32_t v : in) request.in.push_back(layout(v).spec);
  for (int32_t l : out_layouts) request.out.push_back(layouts_[l].spec);
  return request;
}

void Lowering::ask_backend(const OpDecl& op, const Attrs& attrs, const Bindings& bindings, IdSpan in,
                           IdSpan out_layouts, KnownOp& known) {
  PreparedResult prepared = prepare_op(backend_, request_of(op, attrs, bindings, in, out_layouts));
  known.prepared = std::move(prepared.op);
  known.contiguous = prepared.contiguous;
  known.reason = std::move(prepared.reason);
  known.asked = true;
}

void Lowering::emit_op(const OpDecl& op, const Attrs& attrs, const Bindings& bindings, IdSpan in,
                       IdSpan out_layouts, const Node& origin, Ids& out) {
  KnownOp* known = &known_op(op, attrs, bindings, in, out_layouts);
  if (!known->asked) ask_backend(op, attrs, bindings, in, out_layouts, *known);
  Ids made;
  if (known->contiguous) {
    made.assign(in.begin(), in.end());
    for (size_t i = 0; i < made.size() && i < 64; ++i)
      if (known->contiguous >> i & 1) made[i] = contiguous(made[i], origin);
    in = made;
    known = &known_op(op, attrs, bindings, in, out_layouts);
    if (!known->asked) ask_backend(op, attrs, bindings, in, out_layouts, *known);
  }
  if (verbose_)
    report_dispatch(request_of(op, attrs, bindings, in, out_layouts), backend_.name,
                    known->prepared ? known->prepared->kernel : "", origin.source);
  if (known->prepared) return emit_launch(op, *known, in, out_layouts, origin.source, out);
  if (op.decompose_fn()) return emit_decomposition(op, *known, attrs, bindings, in, out_layouts, origin, out);
  std::string text = known->reason + "\n  backend " + backend_.name;
  if (*origin.source.file)
    text += std::string("\n  at ") + origin.source.file + ":" + std::to_string(origin.source.line);
  fail(ErrorKind::Unsupported, text);
}

void Lowering::emit_launch(const OpDecl& op, KnownOp& known, IdSpan in, IdSpan out_layouts,
                           const Source& source, Ids& out) {
  if (!known.folded.empty()) {
    out.insert(out.end(), known.folded.begin(), known.folded.end());
    return;
  }
  Launch launch;
  launch.op = &op;
  launch.prepared = known.prepared;
  launch.workspace = known.prepared->workspace;
  launch.node = current_node_;
  launch.source = source;
  launch.first_operand = static_cast<int64_t>(operands_.size());
  launch.inputs = static_cast<int32_t>(in.size());
  launch.outputs = static_cast<int32_t>(out_layouts.size());
  operands_.insert(operands_.end(), in.begin(), in.end());
  for (int32_t l : out_layouts) {
    const int32_t view = fresh(l);
    operands_.push_back(view);
    out.push_back(view);
  }
  if (fold(op, *known.prepared, inputs(launch), outputs(launch))) {
    if (launch.inputs == 0) known.folded.assign(outputs(launch).begin(), outputs(launch).end());
    operands_.resize(static_cast<size_t>(launch.first_operand));
    return;
  }
  launches_.push_back(std::move(launch));
}

// Runs a launch at once where it depends on constants only and its result is small.
bool Lowering::fold(const OpDecl& op, const PreparedOp& prepared, IdSpan in, IdSpan out) {
  if (op.is_random() || op.has_side_effect()) return false;
  for (int32_t v : in)
    if (storage(v).kind != StorageKind::constant) return false;
  int64_t bytes = 0;
  for (int32_t v : out) bytes += storage(v).bytes;
  if (bytes > kFoldBytes) return false;
  std::vector<fovea_ref> refs;
  for (int32_t v : in) {
    char* base = static_cast<char*>(constants_[storage(v).index].raw());
    refs.push_back({reinterpret_cast<fovea_buffer*>(base),
                    static_cast<uint64_t>(views_[v].offset * size_of(layout(v).spec.dtype))});
  }
  for (int32_t v : out) {
    Array array(layout(v).spec.dtype, layout(v).spec.shape);
    refs.push_back({reinterpret_cast<fovea_buffer*>(array.raw()), 0});
    Storage& s = storage(v);
    s.kind = StorageKind::constant;
    s.index = static_cast<int32_t>(constants_.size());
    constants_.push_back(std::move(array));
  }
  const Array scratch(DType::u8, {prepared.workspace});
  const fovea_launch args{sizeof(fovea_launch),
                          refs.data(),
                          refs.data() + in.size(),
                          {reinterpret_cast<fovea_buffer*>(scratch.raw()), 0}};
  check(backend_.table->op_launch(nullptr, prepared.handle, &args), "in " + op.name());
  return true;
}

void Lowering::emit_decomposition(const OpDecl& op, KnownOp& known, const Attrs& attrs,
                                  const Bindings& bindings, IdSpan in, IdSpan out_layouts, const Node& origin,
                                  Ids& out) {
  if (!known.decomposition) {
    auto scratch = std::make_shared<Module>();
    auto builder = Builder::make(scratch, op.name());
    std::vector<Tensor> args;
    for (int32_t v : in) {
      const OperandSpec& s = layout(v).spec;
      args.push_back(builder->input("", {s.dtype, to_shape(s.shape)}));
    }
    const Attrs numbers = concrete(attrs, bindings);
    {
      TraceScope trace(builder);
      SourceScope source(origin.source);
      for (const Tensor& t : op.decompose_fn()({args, numbers})) builder->output("", t);
    }
    if (builder->graph().outputs.size() != out_layouts.size())
      invalid(op.name() + ": its decomposition gives " + std::to_string(builder->graph().outputs.size()) +
              " outputs, it has " + std::to_string(out_layouts.size()));
    known.module = scratch;
    known.decomposition = builder->finish();
  }
  emit_graph(*known.module, *known.decomposition, in, {}, false, out);
}

}  // namespace fovea
