// Functions of a file, made ready to be looked at: with numbers for their symbols, and differentiated.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "frontends/tools/load_module.h"
#include "graph/ir/graph.h"

namespace CLI {
class App;
}

namespace fovea::tools {

/// `only`, or, where it is empty, all functions that no other calls, by name.
std::vector<std::string> entry_points(const Module& module, const std::string& only);

/// Adds the function (arguments) -> (sum of squares of the floating results, its gradients) to the module and
/// returns its name. Gradients are by the weights ("param/..."), or by all floating arguments where there are
/// none.
std::string add_training(const std::shared_ptr<Module>& module, const std::string& function);

/// Numbers for symbols, as the command line gives them.
struct Sizes {
  std::vector<std::string> symbols;  ///< "B=8"
  std::vector<std::string> shapes;   ///< "ids=8,128"
  void add_options(CLI::App& app);

  /// The functions of the file. An ONNX model takes the given shapes as its own, which may hold symbols.
  std::shared_ptr<Module> load(const std::string& path);

  /// InvalidArgument for a symbol or an input that none of these functions has.
  void check(const Module& module, const std::vector<std::string>& functions) const;
  /// The numbers that were given for symbols of the function's arguments. What is meant for other functions
  /// is left out. InvalidArgument for a shape that its input cannot have.
  Bindings stated(const Graph& graph) const;
  /// Numbers for all of these symbols; those that nobody gave are assumed: 4 for batches, 64 for lengths.
  Bindings bindings(const Graph& graph) const;
  /// "B=8, L=64 (assumed)"
  std::string text(const Graph& graph) const;
};

}  // namespace fovea::tools
