// Attention over keys in blocks, written out: what the blocks add up to is one softmax over all keys.
#pragma once

#include <map>
#include <unordered_map>
#include <vector>

#include "graph/build/builder.h"
#include "optim/attention/view.h"

namespace fovea::match {

/// Finds quotients of sums over blocks, (exp(s1 - m) v1 + exp(s2 - m) v2) / (sum exp(s1 - m) + sum exp(s2 -
/// m)) however m came about, and products of parts of one softmax with parts of the values.
class Blocks {
 public:
  explicit Blocks(const View& view);

  bool any() const { return !found_.empty(); }
  bool applies(NodeId id) const { return found_.count(id) > 0; }
  /// The same over all keys at once; `moved` tells what became of a value of the old graph.
  std::vector<Tensor> rewrite(NodeId id, const std::map<Value, Tensor>& moved) const;

 private:
  /// A value that multiplies or divides, or stands in an exponent (sign 1 or -1).
  struct Signed {
    Value value;
    int sign = 1;
  };
  struct Block {
    Value weights, values;
    std::vector<Signed> exponents;
  };
  struct Found {
    Value weights{-1, 0};  ///< parts of these were multiplied; otherwise softmax of `scores`
    std::vector<Value> scores, values;
  };
  struct Step {
    Value value;
    std::vector<Signed> exponents;
  };

  void find_quotient(NodeId id);
  void find_parts(NodeId id);
  bool is_leaf(Value v, bool sums) const;
  bool holds_leaf(Value v, bool sums) const;
  bool flatten(Value v, bool sums, std::vector<Block>& out) const;
  bool add_exponents(Value v, int sign, std::vector<Signed>& out) const;
  bool simplify(std::vector<Block>& blocks) const;
  bool same(const Signed& a, const Signed& b) const;
  Value behind(Value v) const;

  const View& view_;
  std::unordered_map<NodeId, Found> found_;
};

}  // namespace fovea::match
