// Transformer layers: attention and a two-layer perceptron, each with its norm and residual.
#pragma once

#include "frontends/nn/attention.h"
#include "frontends/nn/norm.h"

namespace fovea::nn {

/// Sizes and variants of a Transformer layer.
struct TransformerOptions {
  int64_t dim = 256, heads = 4, hidden = 1024;
  double dropout = 0;
  std::string activation = "gelu";
  /// x + f(norm(x)) (Xiong et al. 2020); else norm(x + f(x)) as in Vaswani et al. 2017.
  bool norm_first = true;
};

/// Self-attention, then with `cross` attention to a memory, then the perceptron. Its parameters are called
/// norm1, attn, norm2 and cross_attn (with cross), norm3, up, down.
class TransformerLayer : public Module {
 public:
  TransformerLayer(const TransformerOptions& options, bool cross);

  /// x [B, L, dim] -> [B, L, dim]. `self`: who may look where in x; `memory` [B, M, dim] and `memory_mask`
  /// (broadcast against [B, heads, L, M]) for cross attention.
  Tensor operator()(const Arg& x, const Attend& self = {}, const Tensor& memory = {},
                    const Tensor& memory_mask = {}) const;

  /// One decoding step over caches: see MultiHeadAttention::step. `memory`: cross_attn.project(memory), if
  /// there is one.
  Tensor step(const Arg& x, KeyValue& cache, const Tensor& position, const KeyValue& memory = {},
              const Tensor& memory_mask = {}) const;

  LayerNorm norm1;
  MultiHeadAttention attn;
  LayerNorm norm2;
  MultiHeadAttention cross_attn;  ///< registered with `cross` only, as norm2
  LayerNorm norm3;
  Linear up, down;

 private:
  template <class F>
  Tensor residual(const Tensor& x, const LayerNorm& norm, F f) const;
  Tensor perceptron(const Tensor& x) const;
  bool cross_, norm_first_;
  Activation act_;
  Dropout drop_;
};

/// Self-attention and feed-forward network.
struct TransformerEncoderLayer : TransformerLayer {
  explicit TransformerEncoderLayer(const TransformerOptions& options) : TransformerLayer(options, false) {}
};
/// Self-attention, cross-attention and feed-forward network.
struct TransformerDecoderLayer : TransformerLayer {
  explicit TransformerDecoderLayer(const TransformerOptions& options) : TransformerLayer(options, true) {}
};

}  // namespace fovea::nn
