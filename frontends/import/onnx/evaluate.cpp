// Values that were recorded as operations although nothing in them is open: computed when a converter has to
// know them. The graph keeps the operations, which say more than their results do.
#include <algorithm>
#include <map>

#include "frontends/import/onnx/importer_internal.h"

namespace fovea::onnx {
namespace {

constexpr int64_t kMostElements = 1 << 20;
constexpr size_t kMostNodes = 1024;

// Whether a node takes part in a value only the running model knows: an input, an open size, or more work
// than belongs into reading a model.
bool varies(const Graph& graph, NodeId id, const std::vector<bool>& before) {
  const Node& node = graph.nodes[static_cast<size_t>(id)];
  if (node.op->name() == "input") return true;
  for (const auto& [name, value] : node.attrs)
    if (std::holds_alternative<FunctionRef>(value)) return true;
  for (const TensorType& t : node.outputs) {
    const Dim size = product(t.shape);
    if (!size.is_const() || size.value() > kMostElements) return true;
  }
  if (node.op->name() == "extent" && !product(node.attrs.shape("sizes")).is_const()) return true;
  return std::any_of(node.inputs.begin(), node.inputs.end(),
                     [&](Value v) { return before[static_cast<size_t>(v.node)]; });
}

}  // namespace

std::optional<Array> Importer::evaluate(const Tensor& x) {
  if (!x.traced()) return x.array();
  if (x.builder() != builder_) return {};
  const Graph& graph = builder_->graph();
  for (auto id = static_cast<NodeId>(varies_.size()); id <= x.value().node; ++id)
    varies_.push_back(varies(graph, id, varies_));
  if (varies_[static_cast<size_t>(x.value().node)]) return {};
  std::map<NodeId, std::vector<Array>> results;  // in the order in which they are computed
  std::vector<NodeId> open{x.value().node};
  while (!open.empty()) {
    const NodeId id = open.back();
    open.pop_back();
    if (!results.try_emplace(id).second) continue;
    if (results.size() > kMostNodes) return {};
    for (const Value v : graph.nodes[static_cast<size_t>(id)].inputs) open.push_back(v.node);
  }
  for (auto& [id, arrays] : results) {
    const Node& node = graph.nodes[static_cast<size_t>(id)];
    if (node.op->name() == "constant") {
      arrays = {module_->constants[static_cast<size_t>(node.attrs.integer("index"))]};
      continue;
    }
    std::vector<Array> in;
    for (const Value v : node.inputs) in.push_back(results.at(v.node)[static_cast<size_t>(v.index)]);
    arrays = run_op(*node.op, in, node.attrs);
  }
  return results.at(x.value().node)[static_cast<size_t>(x.value().index)];
}

}  // namespace fovea::onnx
