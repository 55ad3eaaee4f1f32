// ONNX models as Fovea graphs.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "framework/tensor/array.h"
#include "graph/ir/graph.h"

namespace fovea {

/// How a model is read.
struct OnnxOptions {
  /// Shapes of inputs by name, in place of those in the file; dims may be symbols. For inputs whose sizes the
  /// file leaves open, and to fix symbols.
  std::map<std::string, Shape> shapes;
  /// What inputs will hold, for models in which shapes, axes, counts or branches depend on it. They stay
  /// inputs, but the graph is right for these values only.
  std::map<std::string, Array> values;
  /// The same by the position among the model's inputs.
  std::map<size_t, Array> positional_values;
  /// Where given, the floating initialisers become inputs named "param/NAME", behind the model's own, and
  /// are put here in the same order.
  std::vector<std::pair<std::string, Array>>* weights = nullptr;
};

/// The model in an ONNX file as function "main" of a module, with the names of its inputs and outputs.
/// Initialisers become constants. Sizes that the file names become symbols of that name; a size left open in
/// input x becomes "x.0", "x.1", ... after its axis. Every node's scope ends in the name of its ONNX node (or
/// "#12" after its place in the file), its source is the file and that place, counted from 1.
/// Corrupt for a damaged file, Unsupported listing all ops that cannot be converted with their nodes' names,
/// InvalidArgument for a graph that breaks ONNX's rules.
std::shared_ptr<Module> import_onnx(const std::string& path, const OnnxOptions& options = {});

/// The tensor in a file that holds one TensorProto (.pb), and its name.
std::pair<std::string, Array> load_onnx_tensor(const std::string& path);

}  // namespace fovea
