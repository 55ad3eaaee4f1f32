// Builder: the only way nodes are made, by users, gradients, passes and importers alike.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "graph/build/tensor.h"
#include "graph/ir/graph.h"
#include "graph/ir/op.h"

namespace fovea {

/// Adds checked nodes to one function of a module.
class Builder : public std::enable_shared_from_this<Builder> {
 public:
  /// Builds `graph`, a function of `module` (not yet entered in it).
  static std::shared_ptr<Builder> make(std::shared_ptr<Module> module, const std::string& function_name);

  Tensor input(const std::string& name, TensorType type, Source source = {});
  /// A constant of the module's table.
  Tensor constant(const Array& array, Source source = {});
  /// Adds a node; throws the declaration's error with op, operands and the user's file:line.
  std::vector<Tensor> add(const OpDecl& op, const std::vector<Tensor>& inputs, Attrs attrs, Source source);
  /// The same on raw values, for passes. `scope` as in Node.
  NodeId add_node(const OpDecl& op, std::vector<Value> inputs, Attrs attrs, Source source, int32_t scope);
  /// A tensor of this builder: itself; a concrete one becomes a constant; one of an enclosing trace becomes a
  /// captured input.
  Tensor import(const Tensor& x);
  void output(const std::string& name, const Tensor& x);

  /// Enters the function in the module (after which nothing more is added) and returns it.
  std::shared_ptr<Graph> finish();

  const std::shared_ptr<Module>& module() const { return module_; }
  Graph& graph() { return *graph_; }
  const Graph& graph() const { return *graph_; }
  Tensor tensor(Value v) { return Tensor(shared_from_this(), v); }
  /// Tensors of enclosing traces that were used inside; each has become an input behind the declared ones.
  const std::vector<Tensor>& captures() const { return captures_; }

  /// The trace that is open in this thread, or nullptr.
  static Builder* current();

 private:
  friend class TraceScope;
  Builder(std::shared_ptr<Module> module, const std::string& name);
  std::shared_ptr<Module> module_;
  std::shared_ptr<Graph> graph_;
  std::vector<Tensor> captures_;
  std::vector<Value> captured_as_;
  std::vector<std::pair<const void*, Value>> constants_;  // memory already entered as a constant
};

/// While it lives, ops of this thread are recorded by `builder`.
class TraceScope {
 public:
  explicit TraceScope(std::shared_ptr<Builder> builder);
  ~TraceScope();
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;
};

/// Computes one op on arrays at once, through a cached one-node plan. Defined where plans are made
/// (optim/lower).
std::vector<Array> run_op(const OpDecl& op, const std::vector<Array>& inputs, const Attrs& attrs);

}  // namespace fovea
