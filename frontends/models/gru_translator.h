// Recurrent encoder-decoder with additive attention (Bahdanau et al. 2014).
#pragma once

#include "frontends/nn/attention.h"
#include "frontends/nn/recurrent.h"

namespace fovea::models {

/// Sizes of a GruTranslator.
struct GruTranslatorConfig {
  int64_t vocab = 8000, dim = 256;
};

/// GRU encoder-decoder with additive attention (Bahdanau et al. 2014).
class GruTranslator : public nn::Module {
 public:
  explicit GruTranslator(const GruTranslatorConfig& config = {});

  /// Source and target ids [B, S], [B, T] -> logits [B, T, vocab]. `keep` (bool [B, S]): which source tokens
  /// may be attended to; all where undefined.
  Tensor operator()(const Arg& src, const Tensor& tgt, const Tensor& keep = {}) const;

  /// What decoding needs of a source.
  struct Encoded {
    Tensor memory;  ///< [B, S, 2 dim]
    Tensor keys;    ///< [B, S, dim]
    Tensor state;   ///< [B, dim]: the decoder's first
  };
  Encoded encode(const Arg& src) const;
  /// Tokens [B] -> logits [B, vocab]; `state` moves on. `weights`, if given, gets the attention weights [B,
  /// S].
  Tensor step(const Arg& tokens, const Tensor& memory, const Tensor& keys, Tensor& state,
              const Tensor& keep = {}, Tensor* weights = nullptr) const;

  const GruTranslatorConfig& config() const { return config_; }
  nn::Embedding src, tgt;
  nn::GRU encoder;
  nn::Linear bridge;
  nn::AdditiveAttention attention;  ///< its layers are registered as wq, wk, score
  nn::GRUCell cell;
  nn::Linear out;

 private:
  // One step behind the embedding: [state, context, x] of the output layer.
  Tensor advance(const Tensor& x, const Tensor& memory, const Tensor& keys, Tensor& state, const Tensor& keep,
                 Tensor* weights) const;
  GruTranslatorConfig config_;
};

}  // namespace fovea::models
