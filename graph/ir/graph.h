// The IR: a module of named functions, each a graph of plain-data nodes.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "framework/base/source.h"
#include "framework/tensor/array.h"
#include "framework/tensor/attrs.h"

namespace fovea {

class OpDecl;

/// What is known of a value before it is computed.
struct TensorType {
  DType dtype = DType::f32;
  Shape shape;
  friend bool operator==(const TensorType& a, const TensorType& b) {
    return a.dtype == b.dtype && a.shape == b.shape;
  }
};
/// "f32[B, 4]"
std::string to_string(const TensorType& type);

using NodeId = int32_t;

/// One output of one node of a graph.
struct Value {
  NodeId node = -1;
  int32_t index = 0;
  friend bool operator==(const Value&, const Value&) = default;
  friend auto operator<=>(const Value&, const Value&) = default;
};

/// One operation. No closures, no devices, no raw bytes.
struct Node {
  const OpDecl* op = nullptr;
  Attrs attrs;
  std::vector<Value> inputs;
  std::vector<TensorType> outputs;
  Source source;      ///< where in the user's code it was made
  int32_t scope = 0;  ///< index into Module::scopes: "encoder.0.attention"
};

/// A relation between sizes that could not be proved when the graph was made; checked when a plan is made.
struct Guard {
  Dim a, b;
  bool divides = false;  ///< false: a == b must hold; true: b must divide a
  std::string what;      ///< the sentence of the error
  Source source;
};

/// A function: nodes in topological order (a node's inputs come before it).
struct Graph {
  std::string name;
  std::vector<Node> nodes;
  std::vector<NodeId> inputs;  ///< nodes of op "input", in the order of the arguments
  std::vector<Value> outputs;
  std::vector<std::string> output_names;  ///< as many as outputs, may be empty strings
  std::vector<Guard> guards;

  const TensorType& type(Value v) const { return nodes[v.node].outputs[v.index]; }
  /// Attribute "name" of input i ("" where unnamed).
  const std::string& input_name(size_t i) const;
};

/// Named functions and the constants they share.
struct Module {
  std::map<std::string, std::shared_ptr<Graph>> functions;
  std::vector<Array> constants;            ///< read by nodes of op "constant" through their attribute "index"
  std::vector<std::string> scopes = {""};  ///< scope names; nodes hold indices

  /// The function; InvalidArgument listing what there is.
  Graph& function(const std::string& name) const;
  /// A name not yet taken: `stem`, or `stem.1`, `stem.2`, ...
  std::string unique_name(const std::string& stem) const;
  int32_t scope_id(const std::string& scope);
};

/// Checks every rule a graph must obey (topological order, arity, types as the op's declaration infers them,
/// attributes, functions that exist, constants in range); InvalidArgument naming function, node and rule.
void verify(const Module& module);
void verify(const Module& module, const Graph& graph);

}  // namespace fovea
