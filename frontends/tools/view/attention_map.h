// Attention weights together with the tokens they connect.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fovea::tools {

/// What one run of attention looked at. Every row over `source` is a distribution, if it comes from a
/// softmax.
struct AttentionMap {
  std::vector<std::string> source;  ///< the tokens that are attended to (keys)
  std::vector<std::string> target;  ///< the tokens that attend (queries)
  int64_t layers = 1;
  int64_t heads = 1;
  std::vector<float> weights;  ///< [layers, heads, target, source]
  std::string title;
};

/// Throws InvalidArgument, with the numbers, unless the parts of `map` fit together and none is empty.
void validate(const AttentionMap& map);

/// The weights [target, source] of one head; a layer or head of -1 means the average over all of them.
std::vector<float> attention_weights(const AttentionMap& map, int64_t layer = -1, int64_t head = -1);

}  // namespace fovea::tools
