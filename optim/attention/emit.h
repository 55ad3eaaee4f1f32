// Writes the attention node of a region, and the views that bring tensors into its form and back.
#pragma once

#include <functional>

#include "optim/attention/match.h"

namespace fovea::match {

/// Adds a node to the new graph and returns its first output.
using Add = std::function<Value(const char* op, std::vector<Value> inputs, Attrs attrs)>;

/// What a region needs from the old graph.
std::vector<Value> values_read(const Region& region);

/// Emits the region; `moved` tells what became of a value of the old graph, `type` the type of a new one.
Value emit(Region& region, const Add& add, const std::function<Value(Value)>& moved,
           const std::function<const TensorType&(Value)>& type);

/// The programs as the node will hold them, for explain.
struct Programs {
  tiles::Program score, factor, sink;
  std::vector<int64_t> leaves;  ///< leaf of operand n + 1, or -1 - stream for materialised random bits
};
Programs programs_of(Region& region);

}  // namespace fovea::match
