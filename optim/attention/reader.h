// Reads a tensor of the graph as an expression over labels: the largest elementwise expression above it.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "optim/attention/constants.h"
#include "optim/attention/expression.h"

namespace fovea::match {

class Reader {
 public:
  /// `keys`: labels that the softmax sums over. `rows`: labels of queries. `space`: all labels of the scores.
  Reader(const View& view, LabelTable& table, Expressions& e, ConstantForms& forms, Labels keys, Labels rows,
         Labels space, bool leaves_outside = true)
      : view_(view),
        table_(table),
        e_(e),
        forms_(forms),
        keys_(std::move(keys)),
        rows_(std::move(rows)),
        space_(std::move(space)),
        leaves_outside_(leaves_outside) {}

  /// The expression that computes `ref`. What is not elementwise becomes a leaf.
  int32_t read(const Ref& ref);
  /// Forgets what was read: labels have changed, and equal references have other names since.
  void forget() { known_.clear(); }
  /// `ref` itself as a leaf.
  int32_t leaf(const Ref& ref);

 private:
  struct Frame {
    Ref ref;
    std::string key;
    std::vector<Ref> needs;
    std::vector<int32_t> got;
  };
  // The expression where nothing must be read first.
  std::optional<int32_t> open(Frame& frame);
  std::optional<int32_t> open_constant(const Ref& ref);
  std::optional<int32_t> open_random(const Ref& ref);
  std::optional<int32_t> open_product(const Ref& ref);
  int32_t close(const Frame& frame);
  int32_t padded(const Node& node, const Ref& ref, int32_t x);
  std::optional<int32_t> elementwise(const Node& node, const std::vector<int32_t>& in, int depth = 0);
  std::optional<int32_t> composite(const Node& node, const std::vector<int32_t>& in, int depth);
  std::optional<int32_t> converted(int32_t x, DType from, DType to);
  bool belongs_outside(const Ref& ref, int32_t e) const;
  bool dense(const Ref& ref) const;

  const View& view_;
  LabelTable& table_;
  Expressions& e_;
  ConstantForms& forms_;
  Labels keys_, rows_, space_;
  bool leaves_outside_;  ///< small tensors stay outside, computed once
  std::unordered_map<std::string, int32_t> known_;
};

/// The kind in which elements of this type compute.
Kind kind_of(DType dtype);

}  // namespace fovea::match
