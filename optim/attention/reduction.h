// What a reduction of probabilities reduces.
#pragma once

#include "optim/attention/view.h"

namespace fovea::match {

/// True where `reduction`, a sum, mean or maximum of probabilities, goes over an axis that only the queries
/// have.
bool reduces_queries(const View& view, NodeId reduction);

}  // namespace fovea::match
