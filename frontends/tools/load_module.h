// Graphs out of the files that the program reads.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "framework/tensor/array.h"
#include "graph/ir/graph.h"

namespace fovea::tools {

/// What a subcommand that takes any graph says about the file.
struct ModuleOptions {
  std::map<std::string, Shape> shapes;  ///< .onnx: shapes of inputs, in place of the file's
  std::map<std::string, Array> values;  ///< .onnx: what inputs hold that shapes depend on
};

/// True for a file that holds an ONNX model: named .onnx, and no .fovea file.
bool is_onnx(const std::string& path);

/// The functions of a .fovea file, or function "main" of an .onnx file. `tensors`, where given, receives the
/// weights that a .fovea file holds, by the names of the inputs that take them.
std::shared_ptr<Module> load_any_module(const std::string& path, const ModuleOptions& options = {},
                                        std::map<std::string, Array>* tensors = nullptr);

/// "name=2,3,L" as an input's name and shape; InvalidArgument where it is not of that form.
std::pair<std::string, Shape> parse_shape_option(const std::string& text);

/// An array out of an .npy or .pb file.
Array load_array(const std::string& path);

/// Arguments for `graph`: those in `given`, by name, and made-up ones for the rest (normal numbers; positions
/// that a table is looked up with are within it, other integers are 1, bools true). InvalidArgument for
/// sizes that are symbols which neither a given argument nor `sizes` determines.
std::vector<Array> make_arguments(const Graph& graph, const std::map<std::string, Array>& given,
                                  uint64_t seed = 0, const Bindings& sizes = {});

}  // namespace fovea::tools
