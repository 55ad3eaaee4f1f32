// Pointwise nodes as tile programs.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "graph/ir/graph.h"
#include "ops/shared/tile/program.h"

namespace fovea {

/// What numbers of this type are in a tile program.
tiles::Kind kind_of(DType dtype);

/// The tile program of a node for each element, made once for every combination of op, attributes and types.
class PointwiseForms {
 public:
  /// Operand k of the program is input k of the node, its one result the node's output. nullptr where the
  /// node is not pointwise, or means something else in the program's types (half types in between, i32
  /// arithmetic).
  const tiles::Program* of(const Graph& graph, const Node& node);

  /// A node that is one number everywhere (full, a constant of one element): adds it to `p`.
  static bool constant(const Module& module, const Node& node, tiles::Program& p, int32_t& value);

 private:
  std::unique_ptr<tiles::Program> make(const Graph& graph, const Node& node);
  std::unique_ptr<tiles::Program> decomposed(const Graph& graph, const Node& node);
  std::unordered_map<std::string, std::unique_ptr<tiles::Program>> known_;
};

}  // namespace fovea
