// Which values of a graph are computed in the same way, whatever their spelling.
#pragma once

#include <vector>

#include "graph/ir/graph.h"

namespace fovea::match {

class View;

/// For each node the first one whose results are the same but for rounding: equal ops of equal operands,
/// equal constants, sums and products in either order, differences as sums of opposites, multiples by
/// numbers.
std::vector<NodeId> equal_values(const View& view);

}  // namespace fovea::match
