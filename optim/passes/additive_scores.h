// Scores of additive attention without the tanh they are made of.
#pragma once

#include "optim/rewrite/pass.h"

namespace fovea {

inline const std::vector<const char*> kAdditiveScoresRules = {
    "additive_scores_linear", "additive_scores_matmul", "additive_scores_sum"};

/// The sum over the last axis of w tanh(k + q) becomes additive_scores, which holds no tensor of the size of
/// the tanh, forward or backward. The sum may be written as linear(tanh, w [1, D]), with a bias or none, as
/// matmul(tanh, w [D, 1]) or as sum(tanh * w); a bias inside the tanh is added to the smaller of k and q.
/// Refused, with a record: a tanh that is read elsewhere, half types, a summand that is only a bias.
std::shared_ptr<Graph> fuse_additive_scores(const Graph& graph, PassContext& context);

}  // namespace fovea
