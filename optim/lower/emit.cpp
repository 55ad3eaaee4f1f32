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

TensorType concrete(const TensorType& type, const Bindings& bindings) {
  return {type.dtype, to_shape(evaluate(type.shape, bindings))};
}

Dims numbers(const Shape& shape) { return evaluate(shape, {}); }

// No machine addresses more than 2^52 bytes; below that, no sum of sizes in a kernel can overflow.
void check_addressable(DType dtype, const Dims& shape) {
  const int64_t bytes = checked_mul(product(shape), size_of(dtype), "the bytes of a value");
  if (bytes > int64_t{1} << 52)
    fail(ErrorKind::ResourceExhausted, "a value " + std::string(to_string(dtype)) + to_string(shape) +
                                           " would take " + std::to_string(bytes) + " bytes");
}

}  // namespace

Attrs concrete(const Attrs& attrs, const Bindings& bindings) {
  Attrs out = attrs;
  for (const auto& [name, value] : attrs)
    if (const Shape* s = std::get_if<Shape>(&value); s && !is_concrete(*s)) {
      Shape numbers;
      for (const Dim& d : *s) {
        const auto v = d.eval(bindings);  // may be negative: paddings crop
        if (!v)
          invalid("attribute '" + name + "': the size " + d.str() +
                  " is not known: no input determines its symbols");
        numbers.push_back(*v);
      }
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

int32_t Lowering::add_view(View view) {
  check_addressable(view.dtype, view.shape);
  views_.push_back(std::move(view));
  return static_cast<int32_t>(views_.size()) - 1;
}

int32_t Lowering::add_constant(Array array) {
  storages_.push_back({StorageKind::constant, static_cast<int32_t>(constants_.size()), array.nbytes()});
  const int32_t id = add_view(
      {static_cast<int32_t>(storages_.size()) - 1, 0, array.dtype(), array.shape(), array.strides()});
  constants_.push_back(std::move(array));
  return id;
}

int32_t Lowering::fresh(const TensorType& type) {
  Dims shape = numbers(type.shape);
  const int64_t bytes = checked_mul(product(shape), size_of(type.dtype), "the bytes of a value");
  storages_.push_back({StorageKind::arena, 0, bytes});
  Dims strides = contiguous_strides(shape);
  return add_view(
      {static_cast<int32_t>(storages_.size()) - 1, 0, type.dtype, std::move(shape), std::move(strides)});
}

OperandSpec Lowering::spec(int32_t view) const {
  const View& v = views_[view];
  return {v.dtype, v.shape, v.strides};
}

Lowering::Ids Lowering::emit_graph(const Module& module, const Graph& graph, const Ids& args,
                                   const Bindings& bindings, bool outermost) {
  if (++depth_ > kMaxDepth)
    invalid("'" + graph.name + "': decompositions are nested more than " + std::to_string(kMaxDepth) +
            " deep");
  const std::vector<bool> live = live_nodes(graph);
  std::vector<Ids> map(graph.nodes.size());
  for (size_t i = 0; i < graph.inputs.size(); ++i) map[graph.inputs[i]] = {args[i]};
  for (size_t id = 0; id < graph.nodes.size(); ++id) {
    if (!live[id] || !map[id].empty()) continue;
    const Node& node = graph.nodes[id];
    if (outermost) current_node_ = static_cast<int32_t>(id);
    Ids in;
    in.reserve(node.inputs.size());
    for (const Value& v : node.inputs) in.push_back(map[v.node][v.index]);
    map[id] = emit_node(module, node, in, bindings);
  }
  Ids out;
  for (const Value& v : graph.outputs) out.push_back(map[v.node][v.index]);
  --depth_;
  return out;
}

Lowering::Ids Lowering::emit_node(const Module& module, const Node& node, const Ids& in,
                                  const Bindings& bindings) {
  const std::string& name = node.op->name();
  if (name == "constant") return {add_constant(module.constants[node.attrs.integer("index")])};
  if (name == "input")
    invalid("the input '" + node.attrs.text("name") + "' is not among the function's arguments");
  const Attrs attrs = concrete(node.attrs, bindings);
  if (name == "scan" || name == "while_loop" || name == "cond")
    return emit_control(node, attrs, in, bindings);
  std::vector<TensorType> out;
  out.reserve(node.outputs.size());
  for (const TensorType& t : node.outputs) out.push_back(concrete(t, bindings));
  Ids result;
  if (node.op->is_view() && emit_view(node, attrs, in, out[0], result)) return result;
  result = emit_kernel(name, for_kernel(attrs), in, out, node);
  return result.empty() ? emit_decomposition(node, attrs, in) : result;
}

bool Lowering::emit_view(const Node& node, const Attrs& attrs, const Ids& in, const TensorType& out,
                         Ids& result) {
  const View& v = views_[in[0]];
  View alias{v.storage, v.offset, out.dtype, numbers(out.shape), {}};
  int64_t offset = 0;
  if (!node.op->view_fn()(attrs, v.shape, v.strides, alias.shape, alias.strides, offset)) return false;
  alias.offset += offset;
  result = {add_view(std::move(alias))};
  return true;
}

int32_t Lowering::contiguous(int32_t view, const Node& origin) {
  if (is_contiguous(views_[view].shape, views_[view].strides)) return view;
  if (auto at = made_contiguous_.find(view); at != made_contiguous_.end()) return at->second;
  const TensorType type{views_[view].dtype, to_shape(views_[view].shape)};
  const int32_t copy = emit_kernel("copy", {}, {view}, {type}, origin)[0];
  made_contiguous_[view] = copy;
  return copy;
}

// Empty where the backend has no kernel.
Lowering::Ids Lowering::emit_kernel(const std::string& op, const Attrs& attrs, Ids in,
                                    const std::vector<TensorType>& out, const Node& origin) {
  KernelRequest request{op, attrs, {}, {}};
  for (int32_t v : in) request.in.push_back(spec(v));
  for (const TensorType& t : out) {
    Dims shape = numbers(t.shape);
    check_addressable(t.dtype, shape);
    Dims strides = contiguous_strides(shape);
    request.out.push_back({t.dtype, std::move(shape), std::move(strides)});
  }
  PreparedResult prepared = prepare_op(backend_, request);
  if (prepared.contiguous) {
    for (size_t i = 0; i < in.size(); ++i)
      if (prepared.contiguous >> i & 1) {
        in[i] = contiguous(in[i], origin);
        request.in[i] = spec(in[i]);
      }
    prepared = prepare_op(backend_, request);
  }
  if (verbose_)
    report_dispatch(request, backend_.name, prepared.op ? prepared.op->kernel : "", origin.source);
  if (!prepared.op) {
    if (find_op(op).decompose_fn()) return {};
    std::string text = prepared.reason + "\n  backend " + backend_.name;
    if (*origin.source.file)
      text += std::string("\n  at ") + origin.source.file + ":" + std::to_string(origin.source.line);
    fail(ErrorKind::Unsupported, text);
  }
  Launch launch;
  launch.op = op;
  launch.kernel = prepared.op->kernel;
  launch.node = current_node_;
  launch.source = origin.source;
  launch.workspace = prepared.op->workspace;
  launch.prepared = std::move(prepared.op);
  launch.in = std::move(in);
  for (const TensorType& t : out) launch.out.push_back(fresh(t));
  Ids result = launch.out;
  if (!fold(launch)) launches_.push_back(std::move(launch));
  return result;
}

// Runs a launch at once where it depends on constants only and its result is small.
bool Lowering::fold(Launch& launch) {
  const OpDecl& op = find_op(launch.op);
  if (op.is_random() || op.has_side_effect() || launch.prepared == nullptr) return false;
  for (int32_t v : launch.in)
    if (storages_[views_[v].storage].kind != StorageKind::constant) return false;
  int64_t bytes = 0;
  for (int32_t v : launch.out) bytes += storages_[views_[v].storage].bytes;
  if (bytes > kFoldBytes) return false;
  std::vector<fovea_ref> refs;
  for (int32_t v : launch.in) {
    const View& view = views_[v];
    char* base = static_cast<char*>(constants_[storages_[view.storage].index].raw());
    refs.push_back(
        {reinterpret_cast<fovea_buffer*>(base), static_cast<uint64_t>(view.offset * size_of(view.dtype))});
  }
  for (int32_t v : launch.out) {
    Array array(views_[v].dtype, views_[v].shape);
    refs.push_back({reinterpret_cast<fovea_buffer*>(array.raw()), 0});
    Storage& s = storages_[views_[v].storage];
    s.kind = StorageKind::constant;
    s.index = static_cast<int32_t>(constants_.size());
    constants_.push_back(std::move(array));
  }
  const Array scratch(DType::u8, {launch.workspace});
  const fovea_launch args{sizeof(fovea_launch),
                          refs.data(),
                          refs.data() + launch.in.size(),
                          {reinterpret_cast<fovea_buffer*>(scratch.raw()), 0}};
  check(backend_.table->op_launch(nullptr, launch.prepared->handle, &args), "in " + launch.op);
  return true;
}

Lowering::Ids Lowering::emit_decomposition(const Node& node, const Attrs& attrs, const Ids& in) {
  std::string key = node.op->name();
  for (const auto& [name, value] : attrs) key += " " + name + "=" + to_string(value);
  for (int32_t v : in) key += " " + to_string(TensorType{views_[v].dtype, to_shape(views_[v].shape)});
  auto& entry = decompositions_[key];
  if (!entry.second) {
    auto scratch = std::make_shared<Module>();
    auto builder = Builder::make(scratch, node.op->name());
    std::vector<Tensor> args;
    for (int32_t v : in) args.push_back(builder->input("", {views_[v].dtype, to_shape(views_[v].shape)}));
    {
      TraceScope trace(builder);
      SourceScope source(node.source);
      for (const Tensor& t : node.op->decompose_fn()({args, attrs})) builder->output("", t);
    }
    if (builder->graph().outputs.size() != node.outputs.size())
      invalid(node.op->name() + ": its decomposition gives " +
              std::to_string(builder->graph().outputs.size()) + " outputs, it has " +
              std::to_string(node.outputs.size()));
    entry = {scratch, builder->finish()};
  }
  return emit_graph(*entry.first, *entry.second, in, {}, false);
}

}  // namespace fovea
