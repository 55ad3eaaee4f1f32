// Encoder-decoder Transformer (Vaswani et al. 2017), pre-norm, with one table for source, target and output
// tokens.
#pragma once

#include "frontends/nn/transformer.h"

namespace fovea::models {

/// Sizes of a Translator.
struct TranslatorConfig {
  int64_t vocab = 8000, dim = 256, heads = 4, hidden = 1024, layers = 3;
  double dropout = 0.1;
  int64_t length = 512;  ///< longest sequence
};

/// Token ids are integers [B, L]; `keep` is bool [B, S], true at tokens that are no padding.
class Translator : public nn::Module {
 public:
  explicit Translator(const TranslatorConfig& config = {});

  /// Logits [B, T, vocab] of the token behind each target token.
  Tensor operator()(const Arg& src, const Tensor& keep, const Tensor& tgt) const;
  /// Memory [B, S, dim] of a source.
  Tensor encode(const Arg& src, const Tensor& keep) const;
  Tensor decode(const Arg& memory, const Tensor& keep, const Tensor& tgt) const;
  /// What each target token looks at in the source, [B, layers, heads, T, S].
  Tensor attention(const Arg& src, const Tensor& keep, const Tensor& tgt) const;

  /// Decoding token by token. start(): keys and values of the memory, one pair a decoder layer.
  std::vector<nn::KeyValue> start(const Arg& src, const Tensor& keep) const;
  /// Empty caches for `capacity` target tokens of `batch` sequences, one pair a decoder layer.
  std::vector<nn::KeyValue> caches(const Dim& batch, const Dim& capacity) const;
  /// Tokens [B] at `position` (i64 scalar) -> logits [B, vocab]; the caches take the tokens' keys and values.
  Tensor step(const Arg& tokens, const Tensor& position, const std::vector<nn::KeyValue>& cross,
              const Tensor& keep, std::vector<nn::KeyValue>& caches) const;

  const TranslatorConfig& config() const { return config_; }
  nn::Embedding embed;
  nn::Parameter pos;
  nn::ModuleList<nn::TransformerLayer> encoder, decoder;
  nn::LayerNorm norm_e, norm_d;

 private:
  Tensor tokens(const Tensor& ids, const Tensor& position = {}) const;
  TranslatorConfig config_;
  nn::Dropout drop_;
};

}  // namespace fovea::models
