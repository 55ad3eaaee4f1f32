// Decoder-only Transformer (Radford et al. 2019), with one table for input and output tokens.
#pragma once

#include "frontends/models/token_transformer.h"

namespace fovea::models {

/// Sizes of a Gpt.
struct GptConfig {
  int64_t vocab = 65, dim = 384, heads = 6, layers = 6, length = 256;
  double dropout = 0;
};

/// Causal Transformer language model (Radford et al. 2019), pre-norm, with tied output weights.
class Gpt : public TokenTransformer {
 public:
  explicit Gpt(const GptConfig& config = {});

  /// Token ids [B, L] -> logits [B, L, vocab] of the next tokens.
  Tensor operator()(const Arg& ids) const;

  /// Empty caches for `capacity` tokens of `batch` sequences, one pair a layer.
  std::vector<nn::KeyValue> caches(const Dim& batch, const Dim& capacity) const;
  /// Tokens [B, n] that stand at position, position + 1, ... (i64 scalar) -> logits [B, n, vocab]; the caches
  /// take their keys and values. n is that of a prompt at first, then 1.
  Tensor step(const Arg& ids, const Tensor& position, std::vector<nn::KeyValue>& caches) const;

  const GptConfig& config() const { return config_; }

 private:
  GptConfig config_;
};

}  // namespace fovea::models
