#include "frontends/models/gpt.h"

#include "framework/base/error.h"
#include "frontends/models/parts.h"
#include "frontends/nn/init.h"
#include "frontends/nn/positions.h"
#include "ops/core/add/add.h"

namespace fovea::models {

using nn::ModuleScope;

Gpt::Gpt(const GptConfig& c)
    : tok(c.vocab, c.dim, nn::init::normal(0.02)),
      pos(c.length, c.dim, nn::init::normal(0.02)),
      norm(c.dim),
      config_(c) {
  for (int64_t i = 0; i < c.layers; ++i)
    blocks.push_back(nn::TransformerEncoderLayer({c.dim, c.heads, 4 * c.dim, c.dropout, "gelu", true}));
  add("tok", tok);
  add("pos", pos);
  add("blocks", blocks);
  add("norm", norm);
}

Tensor Gpt::tokens(const Tensor& ids, const Tensor& position) const {
  if (ids.rank() != 2) invalid("Gpt: token ids are [batch, length], got " + to_string(ids.shape()));
  return tok(ids) + nn::position_rows(pos.weight, ids.dim(1), position);
}

Tensor Gpt::operator()(const Arg& ids) const {
  const ModuleScope scope(*this, ids.source);
  Tensor x = tokens(ids.tensor, {});
  for (const auto& block : blocks) x = block(x, {.mask = {}, .causal = true, .offset = {}});
  return tok.logits(norm(x));
}

std::vector<nn::KeyValue> Gpt::caches(const Dim& batch, const Dim& capacity) const {
  return empty_caches(config_.layers, batch, config_.heads, capacity, config_.dim);
}

Tensor Gpt::step(const Arg& ids, const Tensor& position, std::vector<nn::KeyValue>& caches) const {
  const ModuleScope scope(*this, ids.source);
  check_layers("Gpt: caches", caches.size(), blocks.size());
  Tensor x = tokens(ids.tensor, position);
  for (size_t i = 0; i < blocks.size(); ++i) x = blocks[i].step(x, caches[i], position);
  return tok.logits(norm(x));
}

}  // namespace fovea::models
