// Attention, written as the operations it means: the compiler finds and fuses it.
#pragma once

#include "frontends/nn/activation.h"
#include "frontends/nn/linear.h"

namespace fovea::nn {

/// Projected keys and values, [B, heads, L, dim / heads] each; also what is kept from step to step while
/// decoding.
struct KeyValue {
  Tensor keys, values;
};

/// Who may look where.
struct Attend {
  Tensor mask;          ///< bool, broadcast against [B, heads, Lq, Lk]: true where a query may look
  bool causal = false;  ///< query i looks at keys 0 .. i + offset
  Tensor offset;  ///< i64 scalar for causal: position of the first query among the keys; undefined means 0
};

/// Output and weights of an attention layer.
struct AttentionResult {
  Tensor output;   ///< [B, Lq, dim]
  Tensor weights;  ///< [B, heads, Lq, Lk]: what each query gave to each key, before dropout
};

/// Multi-head attention (Vaswani et al. 2017): out(softmax(q(x) k(m)^T / sqrt(dim / heads)) v(m)).
/// x is [B, Lq, dim], the memory m [B, Lk, dim]; it is x where left out. Dropout acts on the weights.
class MultiHeadAttention : public Module {
 public:
  MultiHeadAttention(int64_t dim, int64_t heads, double dropout = 0);

  Tensor operator()(const Arg& x, const Tensor& memory = {}, const Attend& attend = {}) const;
  /// The same with the attention weights.
  AttentionResult with_weights(const Arg& x, const Tensor& memory = {}, const Attend& attend = {}) const;

  /// Keys and values of a memory, to be used for many queries.
  KeyValue project(const Arg& memory) const;
  /// Attention from x to projected keys and values.
  AttentionResult over(const Arg& x, const KeyValue& memory, const Attend& attend = {}) const;
  /// One decoding step: x [B, n, dim] stands at `position` (i64 scalar). Its keys and values are written
  /// there into the cache, whose length is fixed, and x looks at everything up to itself.
  Tensor step(const Arg& x, KeyValue& cache, const Tensor& position) const;

  int64_t heads() const { return heads_; }
  Linear q, k, v, out;

 private:
  Tensor split(const Tensor& x) const;
  int64_t heads_;
  Dropout dropout_;
};

/// Additive attention (Bahdanau et al. 2014): weights = softmax over L of score(tanh(wk(m) + wq(query))).
class AdditiveAttention : public Module {
 public:
  AdditiveAttention(int64_t query_dim, int64_t memory_dim, int64_t hidden);
  /// query [B, query_dim], keys = wk(memory) [B, L, hidden], memory [B, L, memory_dim], mask bool [B, L] or
  /// none. output [B, memory_dim], weights [B, L].
  AttentionResult operator()(const Arg& query, const Tensor& keys, const Tensor& memory,
                             const Tensor& mask = {}) const;

  Linear wq, wk, score;
};

}  // namespace fovea::nn
