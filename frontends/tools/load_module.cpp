#include "frontends/tools/load_module.h"

#include <fmt/format.h>

#include <random>

#include "framework/base/error.h"
#include "framework/base/file.h"
#include "frontends/import/npy.h"
#include "frontends/import/onnx.h"
#include "graph/ir/op.h"
#include "graph/serial/model_file.h"

namespace fovea::tools {

bool is_onnx(const std::string& path) {
  const FileReader file(path);
  return path.ends_with(".onnx") && (file.size() < 6 || file.read_text(0, 6, "the header") !=
                                                            "\x89"
                                                            "FOVEA");
}

std::shared_ptr<Module> load_any_module(const std::string& path, const ModuleOptions& options,
                                        std::map<std::string, Array>* tensors) {
  if (is_onnx(path)) {
    OnnxOptions onnx;
    onnx.shapes = options.shapes;
    onnx.values = options.values;
    return import_onnx(path, onnx);
  }
  ModelFile file = load(path, {.map = false, .tensors = tensors != nullptr, .memory = 0});
  if (tensors) tensors->insert(file.tensors.begin(), file.tensors.end());
  return file.module;
}

std::pair<std::string, Shape> parse_shape_option(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0)
    invalid(fmt::format("'{}' is not of the form name=2,3", text));
  Shape shape;
  for (size_t at = equals + 1; at < text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    shape.push_back(Dim::parse(text.substr(at, comma - at)));
    at = comma + 1;
  }
  return {text.substr(0, equals), shape};
}

Array load_array(const std::string& path) {
  return path.ends_with(".npy") ? load_npy(path) : load_onnx_tensor(path).second;
}

namespace {

// The size of the table that input `i` is looked up in, 0 where there is none.
int64_t table_size(const Graph& graph, size_t i) {
  std::vector<bool> follows(graph.nodes.size(), false);  // the input itself, reshaped or cast
  follows[static_cast<size_t>(graph.inputs[i])] = true;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    const std::string& op = node.op->name();
    if (node.inputs.empty()) continue;
    if (op == "reshape" || op == "cast" || op == "identity" || op == "broadcast_to")
      follows[n] = follows[static_cast<size_t>(node.inputs[0].node)];
    const bool table = (op == "gather" || op == "embedding") && node.inputs.size() > 1;
    if (!table || !follows[static_cast<size_t>(node.inputs[1].node)]) continue;
    const Dim& size = graph.type(node.inputs[0]).shape[op == "gather" ? node.attrs.integer("axis") : 0];
    if (size.is_const()) return size.value();
  }
  return 0;
}

Array made_up(const Graph& graph, size_t i, DType dtype, const Dims& shape, std::mt19937_64& random) {
  if (is_floating(dtype)) {
    std::normal_distribution<float> normal;
    Array values(DType::f32, shape);
    for (int64_t k = 0; k < values.size(); ++k) values.data<float>()[k] = normal(random);
    return values.cast(dtype);
  }
  const int64_t table = is_integer(dtype) ? table_size(graph, i) : 0;
  if (table < 1) return Array::full(dtype, shape, 1);
  Array values(DType::i64, shape);
  for (int64_t k = 0; k < values.size(); ++k)
    values.data<int64_t>()[k] = static_cast<int64_t>(random() % static_cast<uint64_t>(table));
  return values.cast(dtype);
}

}  // namespace

std::vector<Array> make_arguments(const Graph& graph, const std::map<std::string, Array>& given,
                                  uint64_t seed, const Bindings& sizes) {
  std::mt19937_64 random(seed);
  Bindings bindings = sizes;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const auto at = given.find(graph.input_name(i));
    if (at == given.end()) continue;
    const Shape& shape = graph.nodes[static_cast<size_t>(graph.inputs[i])].outputs[0].shape;
    for (size_t d = 0; d < shape.size() && d < at->second.shape().size(); ++d)
      if (shape[d].is_symbol()) bindings.emplace_back(shape[d].str(), at->second.shape()[d]);
  }
  std::vector<Array> out;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const TensorType& type = graph.nodes[static_cast<size_t>(graph.inputs[i])].outputs[0];
    if (const auto at = given.find(graph.input_name(i)); at != given.end()) {
      out.push_back(at->second);
      continue;
    }
    Dims shape;
    for (const Dim& d : type.shape) {
      const auto size = d.eval(bindings);
      if (!size)
        invalid(fmt::format("input '{}' is {}\n  hint: give its sizes: --shape {}=...", graph.input_name(i),
                            to_string(type), graph.input_name(i)));
      shape.push_back(*size);
    }
    out.push_back(made_up(graph, i, type.dtype, shape, random));
  }
  return out;
}

}  // namespace fovea::tools
