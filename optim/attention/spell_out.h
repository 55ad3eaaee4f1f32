// Operations near a softmax in terms of those that the recogniser reads.
#pragma once

#include <vector>

#include "graph/build/builder.h"
#include "optim/attention/view.h"

namespace fovea::match {

/// Which nodes of a graph say more about attention when they are written in other operations: a linear layer
/// with a bias, a mean, an einsum of one operand, a triangle of exponentials, elementwise work on tensors
/// that were repeated before a sum of products.
class SpellOut {
 public:
  explicit SpellOut(const View& view);

  bool any() const { return any_; }
  bool applies(NodeId id) const { return any_ && rules_[static_cast<size_t>(id)] != Rule::none; }
  /// The node in other operations, on the operands of the new graph; empty where it is copied after all.
  std::vector<Tensor> rewrite(Builder& builder, NodeId id, const std::vector<Tensor>& in) const;

 private:
  enum class Rule : uint8_t { none, decompose, apart, narrow };
  void find_near();
  void find_factors();
  Rule rule_of(NodeId id) const;
  bool is_product(Value v) const;

  const View& view_;
  std::vector<bool> near_;     ///< leads to an exponential that weighs values
  std::vector<bool> factors_;  ///< leads to a sum of products that does
  std::vector<Rule> rules_;
  bool any_ = false;
};

}  // namespace fovea::match
