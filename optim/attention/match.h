// One candidate: from a product with values up to the scores.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "optim/attention/expression.h"
#include "optim/attention/probability.h"
#include "optim/attention/reader.h"

namespace fovea::match {

/// One pair of queries and keys whose product is (a part of) the scores.
struct Pair {
  Ref q, k;
  Labels inner;      ///< the labels summed over
  double scale = 1;  ///< what multiplies this product beside the others
  NodeId node = -1;  ///< the contraction
};

/// A part of the graph that becomes one attention node in the place of `root`.
struct Region {
  Region(const View& view, ConstantForms& forms) : view(view), forms(forms), e(table) {}
  /// The leaf that holds this size as an integer.
  int64_t extent_leaf(const Dim& size) { return e.at(e.extent(size)).index; }

  /// Score, factor and sink, as far as there are any.
  std::vector<int32_t> results() const {
    std::vector<int32_t> out;
    for (int32_t e : {score, factor, sink})
      if (e >= 0) out.push_back(e);
    return out;
  }
  /// True for what is made of the products of queries and keys.
  bool depends_on_scores(Value v) const {
    return std::any_of(pairs.begin(), pairs.end(), [&](const Pair& p) { return view.depends({v}, p.node); });
  }

  const View& view;
  ConstantForms& forms;
  LabelTable table;
  Expressions e;

  Ref root;
  std::vector<Pair> pairs;  ///< more than one: concatenated along the inner axis
  Ref v;
  DType dtype = DType::f32;  ///< in which the node computes
  int64_t scores = -1;       ///< the leaf that stands for the products
  int32_t score = -1, factor = -1, sink = -1;
  std::string guard = "none";
  bool hides_rows = false;  ///< row_factors mask rows that may have no keys, which are no numbers elsewhere
  std::vector<Factor>
      row_factors;  ///< of whole rows, applied to the result: masks, then what lies behind them
  Labels batch, query, keys, channels;
  Labels result_order;             ///< labels of the result as they should lie in memory
  std::vector<std::string> notes;  ///< what explain should say besides
};

/// What came of a candidate.
struct Verdict {
  bool candidate = false;          ///< a softmax with a contraction in reach on both sides
  std::unique_ptr<Region> region;  ///< fused
  Refusal why;
  NodeId softmax = -1;
  Value scores;  ///< the probabilities, as large as the scores
};

/// The tensor behind all views, with the layout in which it is read.
Ref deepest(const View& view, LabelTable& table, Ref ref);

// The steps behind the score; each says why not where it returns false.

/// Finds queries and keys among the contractions that the score reads; joins several, or makes them leaves.
bool choose_products(Region& region, const Labels& keys, Refusal& why);
/// Chooses batch, query, key and channel axes, the element type, and the order of the result.
bool choose_axes(Region& region, const Ref& probabilities, NodeId softmax, const Labels& keys, Refusal& why);

/// Tries to see `root` as attention; operand `side` of the contraction holds the probabilities.
Verdict match(const View& view, ConstantForms& forms, Value root, int side);

/// The place of a kind of refusal in order of how much it says; the best one is reported.
int weight_of(const Verdict& verdict);

}  // namespace fovea::match
