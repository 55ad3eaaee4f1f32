// What the recogniser knows of the graph it looks at: kinds of ops, equal values, what comes from an
// exponential.
#pragma once

#include <optional>
#include <unordered_map>
#include <vector>

#include "graph/ir/op.h"
#include "optim/attention/labels.h"

namespace fovea::match {

/// Ops by their role here.
enum class Role : uint8_t {
  other,
  pointwise,  ///< any other elementwise op
  reshape,
  permute,
  broadcast,
  slice,
  unstack,
  concat,
  same,  ///< identity, copy, debug_print
  stop_gradient,
  cast,
  matmul,
  linear,
  einsum,
  sum,
  max,
  shift,  ///< min, mean: other reductions that may stand for a maximum
  softmax,
  log_softmax,
  logsumexp,
  exp,
  power,  ///< a number to the power of a tensor
  log,
  add,
  sub,
  mul,
  div,
  neg,
  reciprocal,
  where,
  maximum,
  clip,
  dropout,
  random,  ///< bernoulli, uniform, rand_bits
  iota,
  full,
  constant,
  triangle,  ///< tril, triu
  input,
};
/// A product of two tensors, or a sum.
inline bool is_contraction(Role r) {
  return r == Role::matmul || r == Role::linear || r == Role::einsum || r == Role::sum;
}

/// One graph, seen for recognition.
class View {
 public:
  View(const Graph& graph, const Module& module);
  /// False: no softmax in any spelling, nothing to do. Costs one scan.
  bool has_exponential() const { return has_exponential_; }
  /// Fills canonical values, uses and taint.
  void prepare();

  const Graph& graph;
  const Module& module;

  Role role(NodeId id) const { return roles_[id]; }
  Role role(Value v) const { return roles_[v.node]; }
  const Node& node(Value v) const { return graph.nodes[v.node]; }
  const Shape& shape(Value v) const { return graph.type(v).shape; }
  DType dtype(Value v) const { return graph.type(v).dtype; }
  /// True for views that move nothing.
  bool is_nothing(NodeId id) const;
  /// One value for all that are computed in the same way.
  Value canonical(Value v) const { return {canonical_[v.node], v.index}; }
  /// The first product that is this one with its last two axes swapped: B^T A^T for a product A B.
  std::optional<Value> transposed(Value v) const {
    const auto at = transposed_.find(v.node);
    return at == transposed_.end() ? std::nullopt : std::optional<Value>({at->second, 0});
  }
  /// True where an exponential reaches the value through elementwise, layout and summing ops.
  bool tainted(Value v) const { return tainted_[v.node]; }
  /// True where the value is a product with a tainted operand, perhaps scaled, divided or moved since.
  bool weighted(Value v) const { return weighted_[v.node]; }
  /// True where sums, differences and multiples of it may hold what cancels in a softmax: a row's maximum, a
  /// log-sum-exp, a column of another concatenated tensor.
  bool shifted(Value v) const { return shifted_[v.node]; }
  /// Nodes that read any output of `id`.
  const std::vector<NodeId>& uses(NodeId id) const { return uses_[id]; }
  /// The value of a constant whose elements are all equal (through views, casts, neg and reciprocal).
  std::optional<double> number(Value v) const;
  /// The largest finite number, by size, among the constants behind `v`, as far as elementwise operations and
  /// such of one operand lead; 0: none.
  double largest_number(Value v) const;
  /// True where `node` can influence `v`.
  bool depends(const std::vector<Value>& on, NodeId node) const;

 private:
  void find_transposed();

  std::vector<Role> roles_;
  std::vector<NodeId> canonical_;
  std::unordered_map<NodeId, NodeId> transposed_;
  std::vector<bool> tainted_, weighted_, shifted_;
  std::vector<std::vector<NodeId>> uses_;
  mutable std::unordered_map<int64_t, std::optional<double>> numbers_;
  mutable std::unordered_map<NodeId, double> largest_;
  bool has_exponential_ = false;
};

/// The reference of what a view, identity or copy reads. Nothing where `ref` is none of these (stop_gradient
/// only where told) or its reshape cuts across labels.
std::optional<Ref> behind_view(const View& view, LabelTable& table, const Ref& ref,
                               bool through_slices = true);
/// Operand `i` of an elementwise node read at `ref`.
Ref operand(const View& view, const Ref& ref, size_t i);
/// A fresh layout for a value: one label an axis that is not 1.
Layout fresh_layout(LabelTable& table, const Shape& shape);

/// The operand of a sum or another reduction read at `ref`; each reduced axis gets one fresh label.
Ref before_sum(const View& view, LabelTable& table, const Ref& ref);

/// A product of two tensors summed over labels that both have.
struct Contraction {
  Ref a, b;
  Labels reduced;
  NodeId node = -1;
  bool swapped = false;  ///< a is the second operand of the node
};
/// The contraction that makes `ref`: matmul, linear without bias, einsum of two, or a sum of products.
std::optional<Contraction> contraction_at(const View& view, LabelTable& table, const Ref& ref);

}  // namespace fovea::match
