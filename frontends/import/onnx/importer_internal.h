// The state of one import.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "frontends/import/onnx.h"
#include "frontends/import/onnx/convert.h"
#include "frontends/import/onnx/model_internal.h"
#include "graph/build/builder.h"

namespace fovea::onnx {

/// A value of the ONNX graph. A known one gets its tensor when it is first asked for.
struct Item {
  Tensor tensor;
  std::optional<Known> known;
  const onnx_file::TensorProto* initializer = nullptr;  ///< not yet read
  std::shared_ptr<const std::vector<Tensor>> sequence;  ///< a list of tensors, which is no tensor itself
};

/// Versions of operator sets by domain.
using Opsets = std::map<std::string, int64_t>;
using AttributeMap = std::unordered_map<std::string, const onnx_file::AttributeProto*>;

/// The values that nodes of one graph or function body may name.
struct Scope {
  Scope* parent = nullptr;  ///< a subgraph sees the values around it
  std::unordered_map<std::string, Item> items;
  const Opsets* opsets = nullptr;
  const AttributeMap* arguments = nullptr;  ///< attributes of the call of a function
  std::string prefix;                       ///< of the names of nodes

  Item* find(const std::string& name) {
    for (Scope* s = this; s; s = s->parent)
      if (auto at = s->items.find(name); at != s->items.end()) return &at->second;
    return nullptr;
  }
};

struct NodeState;

class Importer {
 public:
  Importer(const ModelBytes& file, const OnnxOptions& options);
  std::shared_ptr<Module> run();

  /// Converts the nodes of a body into `scope`.
  template <class Nodes>
  void convert_nodes(const Nodes& nodes, Scope& scope);
  /// A subgraph inside `outer`: the values of its outputs.
  std::vector<Item> convert_subgraph(const onnx_file::GraphProto& graph, Scope& outer,
                                     const std::string& name, const std::vector<Item>& arguments = {});
  /// The value as a tensor, read or computed where it was not yet.
  const Tensor& tensor_of(Item& item);
  /// What a recorded tensor holds, where no input of the model has a say in it and it is not large.
  std::optional<Array> evaluate(const Tensor& x);
  const ModelBytes& file() const { return file_; }

 private:
  void check_ops();
  void add_initializers(const onnx_file::GraphProto& graph, Scope& scope, bool outermost);
  void add_inputs(Scope& scope);
  void give(Item& input, const Array& value, const std::string& name);
  void add_outputs(Scope& scope);
  TensorType input_type(const onnx_file::ValueInfoProto& info, std::string& name);
  void convert_node(const onnx_file::NodeProto& node, Scope& scope, int line);
  bool inline_function(const onnx_file::NodeProto& node, Scope& scope, const std::string& name);
  std::vector<Item> run_converter(const onnx_file::NodeProto& node, Scope& scope, const std::string& name,
                                  int64_t opset);
  void enter_scope(const std::string& scope);

  // What a loop's body is given in each round.
  struct Rounds {
    int64_t count = 0;
    bool conditional = false;  // Loop: the round's number and the condition come first
    std::vector<Item> carried;
    std::vector<Tensor> scanned;  // along their first axes
  };
  std::vector<Item> convert_loop(Context& c, NodeState& state);
  std::vector<Item> convert_scan(Context& c, NodeState& state);
  std::vector<Item> unrolled(Context& c, Scope& scope, const onnx_file::GraphProto& body, const Rounds& r);
  std::vector<Item> scanned(Context& c, Scope& scope, const onnx_file::GraphProto& body, const Rounds& r,
                            const Dim& length);
  std::vector<Item> repeated(Context& c, Scope& scope, const onnx_file::GraphProto& body, const Rounds& r,
                             const Tensor& most, const Tensor& start);

  const ModelBytes& file_;
  const OnnxOptions& options_;
  const onnx_file::ModelProto& model_;
  std::shared_ptr<Module> module_;
  std::shared_ptr<Builder> builder_;
  Opsets opsets_;
  std::map<std::pair<std::string, std::string>, const onnx_file::FunctionProto*> functions_;
  std::map<const onnx_file::FunctionProto*, Opsets> function_opsets_;
  std::unordered_set<std::string> used_scopes_;
  std::string open_scope_;
  const char* source_name_ = "";
  std::vector<bool> varies_;    // nodes of the graph, as far as evaluate() has looked
  std::deque<Tensor> passing_;  // made inside a body that is being traced: good there alone
  int depth_ = 0, line_ = 0;
  int64_t converted_ = 0;
};

/// What Context reads.
struct NodeState {
  Importer& importer;
  Scope& scope;
  const onnx_file::NodeProto& node;
  std::string name;
  int64_t opset;
  std::vector<Item*> inputs;  ///< nullptr: left out
  std::vector<std::optional<Known>> known;
  std::vector<std::shared_ptr<const std::vector<Tensor>>> sequences;
};

/// The attribute of this name: the node's own or, where it refers to one, that of the enclosing call.
const onnx_file::AttributeProto* find_attribute(const NodeState& state, std::string_view name);

/// Known integers of an item: its own, or a small constant's.
std::optional<Known> known_of(Importer& importer, Item& item);

/// The outputs of a node of integers that are known: shape arithmetic. Nothing where the node is no such or
/// an operand is not known.
std::optional<std::vector<Known>> fold_known(Context& c);

/// A name as a symbol may be spelt: other characters become '_'.
std::string symbol_name(std::string_view text);
/// The size that a dim_param stands for.
Dim dim_of_text(const std::string& text);

}  // namespace fovea::onnx
