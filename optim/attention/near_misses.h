// What explain says of a softmax between two products that has no form to be matched.
#pragma once

#include <vector>

#include "optim/attention/match.h"

namespace fovea::match {

/// True where a product of tensors lies above the scores, through any ops.
bool contraction_above(const View& view, const std::vector<Term>& exponent);

/// An exponential stands behind something that is no product of probabilities: says what, where it is that
/// of a softmax.
void refuse_blocked(const View& view, const Product& product, Verdict& out);

}  // namespace fovea::match
