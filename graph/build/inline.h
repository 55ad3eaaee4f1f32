// Copies the nodes of one function into another that is being built.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "graph/build/builder.h"

namespace fovea {

/// Emits a replacement for a node, given its inputs in the new graph; an empty result means "copy it as it
/// is".
using Replace = std::function<std::vector<Tensor>(const Node& node, const std::vector<Tensor>& inputs)>;

/// Whether a node may be replaced at all: the others are copied without asking.
using Replaceable = std::function<bool(const Node& node)>;

/// Appends a copy of `graph` to `builder` with `args` for its inputs; returns its outputs. Constants are
/// those of the same module. Source lines and scopes are kept.
std::vector<Tensor> inline_graph(Builder& builder, const Graph& graph, const std::vector<Tensor>& args,
                                 const Replace& replace = {}, const Replaceable& replaceable = {});

/// The nodes that `wrt` (inputs of the graph, by position) can influence through differentiable ops.
std::vector<bool> reachable_from_inputs(const Graph& graph, const std::vector<int64_t>& wrt);

/// Keeps the library-made nodes that are recorded while it lives in the scope and source line of `node`.
class NodeOrigin {
 public:
  NodeOrigin(Builder& builder, const Node& node);
  ~NodeOrigin();

 private:
  SourceScope source_;
  std::string saved_path_;
};

}  // namespace fovea
