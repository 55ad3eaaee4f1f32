#include "frontends/tools/functions.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <set>

#include "framework/base/error.h"
#include "frontends/cpp/trace.h"
#include "generated/ops.h"
#include "graph/ir/op.h"

namespace fovea::tools {
namespace {

const TensorType& input_type(const Graph& graph, size_t i) {
  return graph.nodes[static_cast<size_t>(graph.inputs[i])].outputs[0];
}

// Symbols of the arguments in the order in which they are met.
std::vector<std::string> symbols_of(const Graph& graph) {
  std::vector<std::string> all, out;
  for (size_t i = 0; i < graph.inputs.size(); ++i)
    for (const Dim& d : input_type(graph, i).shape) d.symbols(all);
  for (const std::string& s : all)
    if (std::find(out.begin(), out.end(), s) == out.end()) out.push_back(s);
  return out;
}

int64_t number(std::string_view text, const std::string& whole) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0)
    invalid(fmt::format("'{}': '{}' is not a size", whole, text));
  return value;
}

std::pair<std::string, std::string> split(const std::string& text, const char* form) {
  const size_t at = text.find('=');
  if (at == std::string::npos || at == 0) invalid(fmt::format("'{}' is not of the form {}", text, form));
  return {text.substr(0, at), text.substr(at + 1)};
}

Dims sizes_in(const std::string& list, const std::string& whole) {
  Dims out;
  for (size_t from = 0; !list.empty() && from <= list.size();) {
    const size_t comma = std::min(list.find(',', from), list.size());
    out.push_back(number(std::string_view(list).substr(from, comma - from), whole));
    from = comma + 1;
  }
  return out;
}

void set_size(Bindings& bindings, const std::string& symbol, int64_t size) {
  for (auto& [name, value] : bindings)
    if (name == symbol) {
      if (value != size) invalid(fmt::format("{} is given as {} and as {}", symbol, value, size));
      return;
    }
  bindings.emplace_back(symbol, size);
}

using Given = std::pair<std::string, std::string>;  // name, value
Given split_symbol(const std::string& text) { return split(text, "SYMBOL=NUMBER"); }
Given split_shape(const std::string& text) { return split(text, "INPUT=SIZE,SIZE,..."); }

bool has_symbol(const Graph& graph, const std::string& name) {
  const std::vector<std::string> known = symbols_of(graph);
  return std::find(known.begin(), known.end(), name) != known.end();
}

bool has_input(const Graph& graph, const std::string& name) {
  for (size_t i = 0; i < graph.inputs.size(); ++i)
    if (graph.input_name(i) == name) return true;
  return false;
}

void bind_shape(Bindings& bindings, const Graph& graph, const std::string& text) {
  const auto [name, list] = split_shape(text);
  const Dims sizes = sizes_in(list, text);
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    if (graph.input_name(i) != name) continue;
    const Shape& shape = input_type(graph, i).shape;
    if (shape.size() != sizes.size())
      invalid(fmt::format("'{}' has {} axes, '{}' gives {}", name, shape.size(), text, sizes.size()));
    for (size_t d = 0; d < sizes.size(); ++d)
      if (shape[d].is_symbol())
        set_size(bindings, shape[d].str(), sizes[d]);
      else if (shape[d].is_const() && shape[d].value() != sizes[d])
        invalid(fmt::format("axis {} of '{}' is {}, not {}", d, name, shape[d].value(), sizes[d]));
    return;
  }
}

int64_t assumed(std::string symbol) {
  std::transform(symbol.begin(), symbol.end(), symbol.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return symbol == "b" || symbol == "n" || symbol.find("batch") != std::string::npos ? 4 : 64;
}

}  // namespace

std::vector<std::string> entry_points(const Module& module, const std::string& only) {
  if (!only.empty()) return {module.function(only).name};
  std::set<std::string> called;
  for (const auto& [name, graph] : module.functions)
    for (const Node& node : graph->nodes)
      for (const auto& [attr, value] : node.attrs)
        if (const FunctionRef* ref = std::get_if<FunctionRef>(&value)) called.insert(ref->name);
  std::vector<std::string> out;
  for (const auto& [name, graph] : module.functions)
    if (!called.contains(name)) out.push_back(name);
  return out;
}

std::string add_training(const std::shared_ptr<Module>& module, const std::string& function) {
  const Graph& graph = module->function(function);
  std::vector<Spec> specs;
  std::vector<int64_t> weights, floating;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const TensorType& type = input_type(graph, i);
    specs.emplace_back(type.dtype, type.shape, graph.input_name(i));
    if (!is_floating(type.dtype)) continue;
    floating.push_back(static_cast<int64_t>(i));
    if (graph.input_name(i).starts_with("param/")) weights.push_back(static_cast<int64_t>(i));
  }
  const std::vector<int64_t> wrt = weights.empty() ? floating : weights;
  if (wrt.empty())
    invalid(fmt::format("function '{}' has no floating argument to differentiate by", function));
  const Function loss = [&](const std::vector<Tensor>& in) {
    Tensor total;
    for (const Tensor& y : apply("call", in, {{"function", FunctionRef{function}}})) {
      if (!is_floating(y.dtype())) continue;
      const Tensor squares = cast(sum(square(y)), DType::f32);
      total = total.defined() ? total + squares : squares;
    }
    if (!total.defined()) invalid(fmt::format("function '{}' has no floating result", function));
    return std::vector<Tensor>{total};
  };
  return trace_into(module, value_and_grad(loss, wrt), specs, module->unique_name(function + ".training"));
}

void Sizes::add_options(CLI::App& app) {
  app.add_option("--size", symbols, "a number for a symbol: B=8; may be repeated");
  app.add_option("--shape", shapes, "the shape of an input: ids=8,128; may be repeated");
}

std::shared_ptr<Module> Sizes::load(const std::string& path) {
  ModuleOptions options;
  if (is_onnx(path)) {
    for (const std::string& text : shapes) options.shapes.insert(parse_shape_option(text));
    shapes.clear();
  }
  return load_any_module(path, options);
}

void Sizes::check(const Module& module, const std::vector<std::string>& functions) const {
  const auto any = [&](auto&& has, const std::string& name) {
    return std::any_of(functions.begin(), functions.end(),
                       [&](const std::string& f) { return has(module.function(f), name); });
  };
  for (const std::string& text : symbols) {
    const std::string name = split_symbol(text).first;
    if (any(has_symbol, name)) continue;
    std::set<std::string> known;
    for (const std::string& f : functions)
      for (const std::string& symbol : symbols_of(module.function(f))) known.insert(symbol);
    invalid(fmt::format("there is no symbol '{}' in {}; there are: {}", name, fmt::join(functions, ", "),
                        known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", "))));
  }
  for (const std::string& text : shapes)
    if (const std::string name = split_shape(text).first; !any(has_input, name))
      invalid(fmt::format("there is no input '{}' in {}", name, fmt::join(functions, ", ")));
}

Bindings Sizes::stated(const Graph& graph) const {
  Bindings out;
  for (const std::string& text : symbols) {
    const auto [name, value] = split_symbol(text);
    const int64_t size = number(value, text);
    if (has_symbol(graph, name)) set_size(out, name, size);
  }
  for (const std::string& text : shapes) bind_shape(out, graph, text);
  return out;
}

Bindings Sizes::bindings(const Graph& graph) const {
  Bindings out = stated(graph);
  for (const std::string& symbol : symbols_of(graph))
    if (std::none_of(out.begin(), out.end(), [&](const auto& b) { return b.first == symbol; }))
      out.emplace_back(symbol, assumed(symbol));
  return out;
}

std::string Sizes::text(const Graph& graph) const {
  const Bindings known = stated(graph);
  std::string out;
  for (const auto& [symbol, size] : bindings(graph)) {
    const bool is_given =
        std::any_of(known.begin(), known.end(), [&](const auto& b) { return b.first == symbol; });
    out += fmt::format("{}{}={}{}", out.empty() ? "" : ", ", symbol, size, is_given ? "" : " (assumed)");
  }
  return out;
}

}  // namespace fovea::tools
