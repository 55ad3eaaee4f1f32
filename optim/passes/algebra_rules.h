// What the rules of algebra are written with. A rule looks at one node, whose operands are simplified
// already, and returns the value that takes its place, or none.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "graph/ir/op.h"
#include "optim/rewrite/rewriter.h"

namespace fovea {

/// The graph as rules see it, with what is known of its values.
class AlgebraView {
 public:
  explicit AlgebraView(Rewriter& rewriter) : rewriter_(rewriter) {}

  const Node& node(Value v) const { return rewriter_.node(v); }
  const Node& node(NodeId id) const { return rewriter_.node(id); }
  const TensorType& type(Value v) const { return rewriter_.type(v); }
  /// Operand i of node `id`.
  Value in(NodeId id, size_t i) const { return rewriter_.node(id).inputs[i]; }
  bool is(Value v, const OpDecl& op) const { return rewriter_.node(v).op == &op; }
  bool expanded() const { return rewriter_.context().stage == Stage::expanded; }

  /// True if every element of v is one known number, which is stored.
  bool uniform(Value v, double& number) const;
  bool is_number(Value v, double number) const;  ///< by bits: 0 is not -0
  /// True if no element of v is -0 (always so for integers).
  bool never_minus_zero(Value v) const;

  /// v as the result of node `id`: broadcast to its shape where that is larger.
  Value as_result(Value v, NodeId id);
  Value add(const OpDecl& op, std::vector<Value> inputs, Attrs attrs, NodeId like) {
    return rewriter_.add(op, std::move(inputs), std::move(attrs), like);
  }
  Value full(double number, NodeId like_result_of);

  /// Takes note of what is known of a node; called once for each, in order.
  void learn(NodeId id);

  const OpDecl &add_op = find_op("add"), &sub = find_op("sub"), &mul = find_op("mul"), &div = find_op("div"),
               &neg = find_op("neg"), &cast = find_op("cast"), &where = find_op("where"),
               &logical_not = find_op("logical_not"), &reshape = find_op("reshape"),
               &permute = find_op("permute"), &broadcast_to = find_op("broadcast_to"),
               &slice = find_op("slice"), &pad = find_op("pad"), &concat = find_op("concat"),
               &full_op = find_op("full"), &constant = find_op("constant");

 private:
  bool learn_never_minus_zero(const Node& node) const;

  Rewriter& rewriter_;
  std::vector<char> never_minus_zero_;  // by node; what is not known is 0
};

constexpr Value kNone{-1, 0};
inline bool operator!(const Value& v) { return v.node < 0; }

/// One rule: the ops it looks at and what it does.
struct AlgebraRule {
  const char* name;
  std::vector<const char*> ops;
  Value (*apply)(AlgebraView& g, NodeId id);
  bool after_gradients = false;  ///< gradients would round differently, so it waits until they are expanded
};

const std::vector<AlgebraRule>& pointwise_rules();
const std::vector<AlgebraRule>& constant_rules();
const std::vector<AlgebraRule>& movement_rules();

}  // namespace fovea
