#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "framework/base/digest.h"
#include "framework/tensor/element.h"
#include "graph/ir/op.h"
#include "graph/text/element_internal.h"
#include "graph/text/text.h"

namespace fovea {
namespace {

std::string quoted(const std::string& text) { return to_string(AttrValue(text)); }

std::string function_name(const std::string& name) {
  const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), text::is_name_char);
  return "@" + (plain ? name : quoted(name));
}

std::string value_name(Value v) {
  return v.index == 0 ? fmt::format("%{}", v.node) : fmt::format("%{}#{}", v.node, v.index);
}

std::string attr_text(const AttrValue& value) {
  if (const auto* f = std::get_if<FunctionRef>(&value)) return function_name(f->name);
  return to_string(value);
}

std::string origin(const Module& module, const Source& source, int32_t scope) {
  std::string out;
  if (*source.file || source.line != 0) out += fmt::format(" @{}:{}", quoted(source.file), source.line);
  if (scope > 0 && static_cast<size_t>(scope) < module.scopes.size())
    out += " in " + quoted(module.scopes[scope]);
  return out;
}

template <class T>
std::string element_text(T x) {
  if constexpr (std::is_same_v<T, bool>) {
    return x ? "true" : "false";
  } else if constexpr (std::is_integral_v<T>) {
    return std::to_string(x);
  } else {
    using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;
    const Wide wide = static_cast<Wide>(x);
    if (!std::isnan(wide)) return fmt::format("{}", wide);  // shortest text that reads back to the same bits
    const auto bits = std::bit_cast<text::BitsOf<T>>(x);
    return bits == std::bit_cast<text::BitsOf<T>>(text::standard_nan<T>()) ? "nan"
                                                                           : fmt::format("nan:{:x}", bits);
  }
}

void print_constant(std::string& out, size_t index, const Array& constant) {
  constexpr int64_t kMaxInline = 64;
  const Array array = constant.contiguous();
  out += fmt::format("constant {}: {}{} = ", index, to_string(array.dtype()), to_string(array.shape()));
  if (array.size() > kMaxInline) {
    out += "xxh3 " + digest(array.raw(), array.nbytes()).hex() + "\n";
    return;
  }
  out += '[';
  dispatch(array.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* x = static_cast<const T*>(array.raw());
    for (int64_t i = 0; i < array.size(); ++i) (out += i ? ", " : "") += element_text<T>(load_element(x + i));
  });
  out += "]\n";
}

void print_node(std::string& out, const Module& module, const Node& node, size_t id) {
  out += fmt::format("  %{} = {}(", id, node.op ? node.op->name() : "?");
  for (size_t i = 0; i < node.inputs.size(); ++i) (out += i ? ", " : "") += value_name(node.inputs[i]);
  out += ')';
  const char* separator = " {";
  for (const auto& [name, value] : node.attrs) {
    ((out += separator) += name + " = ") += attr_text(value);
    separator = ", ";
  }
  if (!node.attrs.empty()) out += '}';
  for (size_t i = 0; i < node.outputs.size(); ++i) (out += i ? ", " : " : ") += to_string(node.outputs[i]);
  out += origin(module, node.source, node.scope) + "\n";
}

void print_function(std::string& out, const Module& module, const Graph& graph) {
  out += "func " + function_name(graph.name) + "(";
  std::vector<bool> argument(graph.nodes.size());
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const NodeId id = graph.inputs[i];
    const Node& node = graph.nodes[id];
    const std::string& name = graph.input_name(i);
    argument[id] = true;
    out += fmt::format("{}%{}{}{}: {}{}", i ? ", " : "", id, name.empty() ? "" : " ",
                       name.empty() ? "" : quoted(name), to_string(node.outputs[0]),
                       origin(module, node.source, node.scope));
  }
  out += ") -> (";
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    const std::string& name = graph.output_names[i];
    (out += i ? ", " : "") += value_name(graph.outputs[i]) + (name.empty() ? "" : " " + quoted(name));
  }
  out += ") {\n";
  for (const Guard& g : graph.guards)
    out += fmt::format("  guard {} <{}, {}> {}{}\n", g.divides ? "divides" : "equal", g.a.str(), g.b.str(),
                       quoted(g.what), origin(module, g.source, 0));
  for (size_t id = 0; id < graph.nodes.size(); ++id)
    if (!argument[id]) print_node(out, module, graph.nodes[id], id);
  out += "}\n";
}

}  // namespace

std::string print(const Module& module) {
  std::string out;
  for (size_t i = 0; i < module.constants.size(); ++i) print_constant(out, i, module.constants[i]);
  for (const auto& [name, graph] : module.functions) print_function(out, module, *graph);
  return out;
}

std::string print(const Module& module, const Graph& graph) {
  std::string out;
  print_function(out, module, graph);
  return out;
}

}  // namespace fovea
