// Bidirectional Transformer encoder for masked language modelling (Devlin et al. 2019), pre-norm.
#pragma once

#include "frontends/models/token_transformer.h"

namespace fovea::models {

/// Sizes of a Bert.
struct BertConfig {
  int64_t vocab = 30522, dim = 256, heads = 4, layers = 4, length = 128;
  double dropout = 0;
};

/// Bidirectional Transformer encoder over tokens (Devlin et al. 2018), pre-norm, with tied output weights.
class Bert : public TokenTransformer {
 public:
  explicit Bert(const BertConfig& config = {});

  /// Token ids [B, L] and keep (bool [B, L], true where no padding) -> logits [B, L, vocab].
  Tensor operator()(const Arg& ids, const Tensor& keep) const;
  /// The last hidden states [B, L, dim], normed.
  Tensor encode(const Arg& ids, const Tensor& keep) const;

  const BertConfig& config() const { return config_; }

 private:
  BertConfig config_;
};

}  // namespace fovea::models
