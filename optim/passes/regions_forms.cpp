#include "optim/passes/regions_forms.h"

#include "framework/base/error.h"
#include "graph/build/builder.h"
#include "graph/ir/op.h"

namespace fovea {
namespace {

using tiles::Code;
using tiles::Kind;
using tiles::Program;

bool is_real(DType t) { return t == DType::f32 || t == DType::f64; }

// Nodes that a program computes exactly as they say: i32 and narrower wrap around otherwise, half types
// round.
bool exact(Code code, const std::vector<DType>& in, DType out) {
  const bool compares = code >= Code::less && code <= Code::not_equal;
  for (DType t : in)
    if (!is_real(t) && t != DType::boolean && t != DType::i64 && !(compares && is_integer(t))) return false;
  return is_real(out) || out == DType::boolean || out == DType::i64;
}

std::unique_ptr<Program> by_code(Code code, const std::vector<DType>& in, DType out) {
  if (!exact(code, in, out)) return nullptr;
  auto p = std::make_unique<Program>();
  tiles::Instr i;
  i.code = code;
  int32_t* operands[] = {&i.a, &i.b, &i.c};
  if (static_cast<int>(in.size()) != tiles::arity(code)) return nullptr;
  for (size_t k = 0; k < in.size(); ++k) *operands[k] = p->input(static_cast<int64_t>(k), kind_of(in[k]));
  p->results = {p->add(i)};
  return p;
}

std::unique_ptr<Program> flipped(Code code, const std::vector<DType>& in) {
  if (in.size() != 2 || !exact(code, in, DType::boolean)) return nullptr;
  auto p = std::make_unique<Program>();
  const int32_t a = p->input(0, kind_of(in[0])), b = p->input(1, kind_of(in[1]));
  p->results = {p->binary(code, b, a)};
  return p;
}

// Half types widen on the way in and round on the way out; integers only as far as i64 holds them.
std::unique_ptr<Program> cast(DType from, DType to) {
  auto p = std::make_unique<Program>();
  const int32_t x = p->input(0, kind_of(from));
  if (is_floating(to)) {
    if (is_floating(from) && (from == DType::f64) != (to == DType::f64)) return nullptr;
    p->results = {p->unary(Code::to_real, x)};
  } else if (to == DType::boolean) {
    p->results = {p->unary(Code::to_boolean, x)};
  } else if (to == DType::i64) {
    p->results = {p->unary(Code::to_integer, x)};
  } else {
    return nullptr;
  }
  return p;
}

std::vector<DType> input_types(const Graph& graph, const Node& node) {
  std::vector<DType> out;
  for (const Value& v : node.inputs) out.push_back(graph.type(v).dtype);
  return out;
}

}  // namespace

Kind kind_of(DType dtype) {
  return is_floating(dtype) ? Kind::real : dtype == DType::boolean ? Kind::boolean : Kind::integer;
}

bool PointwiseForms::constant(const Module& module, const Node& node, Program& p, int32_t& value) {
  double number = 0;
  if (node.op->name() == "full") {
    number = node.attrs.number("value");
  } else if (node.op->name() == "constant") {
    const Array& a = module.constants[node.attrs.integer("index")];
    if (a.size() != 1) return false;
    if (a.dtype() == DType::i64) {
      value = p.integer(*static_cast<const int64_t*>(a.raw()));
      return true;
    }
    number = a.get_flat(0);
  } else {
    return false;
  }
  const DType dtype = node.outputs[0].dtype;
  if (dtype == DType::f64 || dtype == DType::f32) {
    value = p.constant(dtype == DType::f32 ? static_cast<double>(static_cast<float>(number)) : number);
  } else if (dtype == DType::boolean) {
    value = p.boolean(number != 0);
  } else if (dtype == DType::i64 || dtype == DType::i32) {
    if (number != static_cast<double>(static_cast<int64_t>(number))) return false;
    value = p.integer(static_cast<int64_t>(number));
  } else {
    return false;
  }
  return true;
}

const Program* PointwiseForms::of(const Graph& graph, const Node& node) {
  if (node.outputs.size() != 1 || node.op->has_side_effect() || node.inputs.empty()) return nullptr;
  Code code;
  const std::string& name = node.op->name();
  if (!node.op->is_pointwise() && name != "dropout" && name != "rand_bits" && name != "cast" &&
      !tiles::code_of_op(name, code))
    return nullptr;
  std::string key = name;
  for (const auto& [attr, value] : node.attrs)
    if (attr != "shape") key += " " + attr + "=" + to_string(value);
  for (const Value& v : node.inputs) key += static_cast<char>('0' + static_cast<int>(graph.type(v).dtype));
  key += static_cast<char>('a' + static_cast<int>(node.outputs[0].dtype));
  const auto [at, fresh] = known_.try_emplace(std::move(key));
  if (fresh) {
    std::unique_ptr<Program>& entry = at->second;  // stays where it is while others are entered
    try {
      entry = make(graph, node);
    } catch (const Error& e) {  // kinds that programs do not compute with
      if (e.kind() != ErrorKind::InvalidArgument) throw;
    }
    return entry.get();
  }
  return at->second.get();
}

std::unique_ptr<Program> PointwiseForms::make(const Graph& graph, const Node& node) {
  const std::string& name = node.op->name();
  const std::vector<DType> in = input_types(graph, node);
  const DType out = node.outputs[0].dtype;
  if (name == "cast") return cast(in[0], out);
  if (name == "rand_bits") {
    auto p = std::make_unique<Program>();
    p->results = {p->random(node.attrs.integer("ordinal"), 0)};
    return p;
  }
  Code code;
  if (tiles::code_of_op(name, code)) return by_code(code, in, out);
  if (name == "greater") return flipped(Code::less, in);
  if (name == "greater_equal") return flipped(Code::less_equal, in);
  return node.op->decompose_fn() ? decomposed(graph, node) : nullptr;
}

// Through the op's own meaning: its decomposition for one element, node by node.
std::unique_ptr<Program> PointwiseForms::decomposed(const Graph& graph, const Node& node) {
  auto module = std::make_shared<Module>();
  auto builder = Builder::make(module, "form");
  std::vector<Tensor> args;
  for (const Value& v : node.inputs) {
    const TensorType& t = graph.type(v);
    if (is_floating(t.dtype) && !is_real(t.dtype)) return nullptr;
    const bool key = node.op->is_random() && t.dtype == DType::i64 && args.size() + 1 == node.inputs.size();
    args.push_back(builder->input("", {t.dtype, key ? Shape{2} : Shape{}}));
  }
  Tensor result;
  {
    TraceScope trace(builder);
    const Tensors out = node.op->decompose_fn()({args, node.attrs});
    if (out.size() != 1) return nullptr;
    result = builder->import(out[0]);
  }
  const Graph& inner = builder->graph();
  auto p = std::make_unique<Program>();
  std::vector<int32_t> value(inner.nodes.size(), -1);
  for (size_t k = 0; k < args.size(); ++k)
    value[args[k].value().node] = p->input(static_cast<int64_t>(k), kind_of(args[k].dtype()));
  for (size_t id = 0; id < inner.nodes.size(); ++id) {
    const Node& n = inner.nodes[id];
    if (value[id] >= 0 || constant(*module, n, *p, value[id])) continue;
    const std::string& name = n.op->name();
    if (name == "reshape" || name == "broadcast_to" || name == "identity") {
      value[id] = value[n.inputs[0].node];
      continue;
    }
    const Program* form = of(inner, n);
    if (!form) return nullptr;
    std::vector<int32_t> inputs;
    for (const Value& v : n.inputs) inputs.push_back(value[v.node]);
    value[id] = p->append(*form, inputs)[0];
  }
  p->results = {value[result.value().node]};
  p->compact();
  return p;
}

}  // namespace fovea
