#include "frontends/models/translator.h"

#include <cmath>

#include "framework/base/error.h"
#include "frontends/models/parts.h"
#include "frontends/nn/init.h"
#include "frontends/nn/positions.h"
#include "ops/core/add/add.h"
#include "ops/core/concat/concat.h"
#include "ops/core/mul/mul.h"
#include "ops/core/reshape/reshape.h"

namespace fovea::models {

using nn::KeyValue;
using nn::ModuleScope;

Translator::Translator(const TranslatorConfig& c)
    : embed(c.vocab, c.dim, nn::init::normal(1 / std::sqrt(static_cast<double>(c.dim)))),
      pos(nn::sinusoid_buffer(c.length, c.dim)),
      norm_e(c.dim),
      norm_d(c.dim),
      config_(c),
      drop_(c.dropout) {
  const nn::TransformerOptions options{c.dim, c.heads, c.hidden, c.dropout, "relu", true};
  for (int64_t i = 0; i < c.layers; ++i) {
    encoder.push_back(nn::TransformerEncoderLayer(options));
    decoder.push_back(nn::TransformerDecoderLayer(options));
  }
  add("embed", embed);
  add("pos", pos);
  add("encoder", encoder);
  add("decoder", decoder);
  add("norm_e", norm_e);
  add("norm_d", norm_d);
  add("drop", drop_);
}

Tensor Translator::tokens(const Tensor& ids, const Tensor& position) const {
  if (ids.rank() != 2) invalid("Translator: token ids are [batch, length], got " + to_string(ids.shape()));
  return drop_(embed(ids) * std::sqrt(static_cast<double>(config_.dim)) +
               nn::position_rows(pos, ids.dim(1), position));
}

Tensor Translator::encode(const Arg& src, const Tensor& keep) const {
  const ModuleScope scope(*this, src.source);
  const nn::Attend attend{.mask = key_mask(keep), .causal = false, .offset = {}};
  Tensor x = tokens(src.tensor);
  for (const auto& layer : encoder) x = layer(x, attend);
  return norm_e(x);
}

Tensor Translator::decode(const Arg& memory, const Tensor& keep, const Tensor& tgt) const {
  const ModuleScope scope(*this, memory.source);
  const Tensor mask = key_mask(keep);
  Tensor y = tokens(tgt);
  for (const auto& layer : decoder)
    y = layer(y, {.mask = {}, .causal = true, .offset = {}}, memory.tensor, mask);
  return embed.logits(norm_d(y));
}

Tensor Translator::operator()(const Arg& src, const Tensor& keep, const Tensor& tgt) const {
  const ModuleScope scope(*this, src.source);
  return decode(encode(src, keep), keep, tgt);
}

Tensor Translator::attention(const Arg& src, const Tensor& keep, const Tensor& tgt) const {
  const ModuleScope scope(*this, src.source);
  const Tensor memory = encode(src, keep), mask = key_mask(keep);
  const nn::Attend causal{.mask = {}, .causal = true, .offset = {}};
  std::vector<Tensor> weights;
  Tensor y = tokens(tgt);
  for (const auto& layer : decoder) {
    const Tensor x = y + layer.attn(layer.norm1(y), {}, causal);
    weights.push_back(
        layer.cross_attn.with_weights(layer.norm2(x), memory, {.mask = mask, .causal = false, .offset = {}})
            .weights);
    y = layer(y, causal, memory, mask);
  }
  return stack(weights, 1);
}

std::vector<KeyValue> Translator::start(const Arg& src, const Tensor& keep) const {
  const ModuleScope scope(*this, src.source);
  const Tensor memory = encode(src, keep);
  std::vector<KeyValue> cross;
  for (const auto& layer : decoder) cross.push_back(layer.cross_attn.project(memory));
  return cross;
}

std::vector<KeyValue> Translator::caches(const Dim& batch, const Dim& capacity) const {
  return empty_caches(config_.layers, batch, config_.heads, capacity, config_.dim);
}

Tensor Translator::step(const Arg& ids, const Tensor& position, const std::vector<KeyValue>& cross,
                        const Tensor& keep, std::vector<KeyValue>& caches) const {
  const ModuleScope scope(*this, ids.source);
  check_layers("Translator: cross", cross.size(), decoder.size());
  check_layers("Translator: caches", caches.size(), decoder.size());
  const Tensor mask = key_mask(keep);
  Tensor y = tokens(unsqueeze(ids, 1), position);
  for (size_t i = 0; i < decoder.size(); ++i) y = decoder[i].step(y, caches[i], position, cross[i], mask);
  return squeeze(embed.logits(norm_d(y)), {1});
}

}  // namespace fovea::models
