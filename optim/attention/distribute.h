// Another way to write a graph in which more attention may be seen: sums of probabilities times values as
// sums of products, einsums of many operands as products of two, scores side by side as scores of keys side
// by side, padding as a part of a concatenation, biases of a regrouped part of the scores in the shape of
// that part.
#pragma once

#include "optim/attention/view.h"
#include "optim/rewrite/pass.h"

namespace fovea::match {

/// The graph written that way, or nullptr where nothing changes.
std::shared_ptr<Graph> distributed(const View& view, PassContext& context);

}  // namespace fovea::match
