#include "frontends/tools/view/attention_map.h"

#include "framework/base/checked.h"

namespace fovea::tools {

void validate(const AttentionMap& map) {
  const int64_t source = static_cast<int64_t>(map.source.size()),
                target = static_cast<int64_t>(map.target.size());
  if (map.layers < 1 || map.heads < 1 || source < 1 || target < 1)
    invalid("an attention map needs at least one of each: layers " + std::to_string(map.layers) + ", heads " +
            std::to_string(map.heads) + ", target tokens " + std::to_string(target) + ", source tokens " +
            std::to_string(source));
  const int64_t want = checked_mul(checked_mul(map.layers, map.heads), checked_mul(target, source));
  if (static_cast<int64_t>(map.weights.size()) != want)
    invalid("an attention map holds " + std::to_string(map.weights.size()) +
            " weights, but [layers, heads, target, " + "source] = [" + std::to_string(map.layers) + ", " +
            std::to_string(map.heads) + ", " + std::to_string(target) + ", " + std::to_string(source) +
            "] needs " + std::to_string(want));
}

std::vector<float> attention_weights(const AttentionMap& map, int64_t layer, int64_t head) {
  validate(map);
  if (layer < -1 || layer >= map.layers || head < -1 || head >= map.heads)
    invalid("layer " + std::to_string(layer) + ", head " + std::to_string(head) + " is not among " +
            std::to_string(map.layers) + " layers of " + std::to_string(map.heads) + " heads");
  const size_t size = map.source.size() * map.target.size();
  std::vector<double> sum(size, 0.0);
  int64_t count = 0;
  for (int64_t l = layer < 0 ? 0 : layer; l < (layer < 0 ? map.layers : layer + 1); ++l) {
    for (int64_t h = head < 0 ? 0 : head; h < (head < 0 ? map.heads : head + 1); ++h, ++count) {
      const float* from = map.weights.data() + static_cast<size_t>(l * map.heads + h) * size;
      for (size_t i = 0; i < size; ++i) sum[i] += from[i];
    }
  }
  std::vector<float> out(size);
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<float>(sum[i] / static_cast<double>(count));
  return out;
}

}  // namespace fovea::tools
