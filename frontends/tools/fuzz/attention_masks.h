// Masks as people make them, and how they put them into scores.
#pragma once

#include "frontends/tools/fuzz/attention_layout.h"

namespace fovea::tools {

class AttentionMasks {
 public:
  AttentionMasks(Random& random, Arguments& arguments, AttentionLayout& layout)
      : r_(random), arguments_(arguments), layout_(layout) {}

  /// Scores with no mask, one or two.
  Tensor masked(const Tensor& s);
  /// Conditions that fit the scores.
  Tensor another();

  Tensor mask;      ///< what was masked with; undefined: nothing
  double fill = 0;  ///< what stands for masked scores

  Tensor query_places() { return iota({layout_.queries}).reshape({1, 1, layout_.queries, 1}); }
  Tensor key_places() { return iota({layout_.keys}).reshape({1, 1, 1, layout_.keys}); }

 private:
  Tensor by_position();
  Tensor given();
  Tensor structured();
  Tensor fill_in(const Tensor& s, const Tensor& keep);
  Tensor added(const Tensor& s);

  Random& r_;
  Arguments& arguments_;
  AttentionLayout& layout_;
};

}  // namespace fovea::tools
