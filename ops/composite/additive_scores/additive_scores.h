#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Scores of additive attention (Bahdanau, Cho and Bengio 2014, arXiv 1409.0473): the sum over d of
/// w[d] tanh(k[..., d] + q[..., d]), where k and q broadcast together and end in the axis of w [D].
/// Neither the result nor its gradient holds the tanh as a tensor.
Tensor additive_scores(const Arg& k, const Tensor& q, const Tensor& w);

}  // namespace fovea
