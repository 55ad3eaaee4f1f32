#include "frontends/models/gpt.h"

#include "frontends/models/parts.h"

namespace fovea::models {

using nn::ModuleScope;

Gpt::Gpt(const GptConfig& c) : TokenTransformer(c), config_(c) {}

Tensor Gpt::operator()(const Arg& ids) const {
  const ModuleScope scope(*this, ids.source);
  Tensor x = embedded("Gpt", ids);
  for (const auto& block : blocks) x = block(x, {.mask = {}, .causal = true, .offset = {}});
  return tok.logits(norm(x));
}

std::vector<nn::KeyValue> Gpt::caches(const Dim& batch, const Dim& capacity) const {
  return empty_caches(config_.layers, batch, config_.heads, capacity, config_.dim);
}

Tensor Gpt::step(const Arg& ids, const Tensor& position, std::vector<nn::KeyValue>& caches) const {
  const ModuleScope scope(*this, ids.source);
  check_layers("Gpt: caches", caches.size(), blocks.size());
  Tensor x = embedded("Gpt", ids, position);
  for (size_t i = 0; i < blocks.size(); ++i) x = blocks[i].step(x, caches[i], position);
  return tok.logits(norm(x));
}

}  // namespace fovea::models
