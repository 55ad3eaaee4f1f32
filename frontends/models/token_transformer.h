// What Bert and Gpt are made of.
#pragma once

#include "frontends/nn/transformer.h"

namespace fovea::models {

/// Tables of tokens and learned positions, pre-norm blocks and a last norm; the table of tokens also gives
/// the logits.
class TokenTransformer : public nn::Module {
 public:
  nn::Embedding tok, pos;
  nn::ModuleList<nn::TransformerLayer> blocks;
  nn::LayerNorm norm;

 protected:
  /// Of a BertConfig or a GptConfig.
  template <class Config>
  explicit TokenTransformer(const Config& c)
      : TokenTransformer(c.vocab, c.length, c.layers, {c.dim, c.heads, 4 * c.dim, c.dropout, "gelu", true}) {}
  TokenTransformer(int64_t vocab, int64_t length, int64_t layers, const nn::TransformerOptions& block);

  /// Ids [B, n] that stand at position, position + 1, ... (0 where it is undefined) -> [B, n, dim]. `model`
  /// is for errors.
  Tensor embedded(const char* model, const Arg& ids, const Tensor& position = {}) const;
};

}  // namespace fovea::models
