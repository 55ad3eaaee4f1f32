#include "frontends/nn/attention.h"

#include <cmath>
#include <limits>

#include "frontends/nn/check.h"
#include "ops/composite/cache_update/cache_update.h"
#include "ops/composite/less_equal/less_equal.h"
#include "ops/composite/softmax/softmax.h"
#include "ops/core/add/add.h"
#include "ops/core/iota/iota.h"
#include "ops/core/matmul/matmul.h"
#include "ops/core/mul/mul.h"
#include "ops/core/permute/permute.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/tanh/tanh.h"
#include "ops/core/where/where.h"

namespace fovea::nn {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

int64_t checked_heads(int64_t dim, int64_t heads) {
  at_least(1, dim, "MultiHeadAttention: dim");
  at_least(1, heads, "MultiHeadAttention: heads");
  if (dim % heads != 0)
    invalid("MultiHeadAttention: dim " + std::to_string(dim) + " is not a multiple of the " +
            std::to_string(heads) + " heads");
  return heads;
}

// True where key j <= query i + offset: [Lq, Lk].
Tensor causal_mask(const Dim& queries, const Dim& keys, const Tensor& offset) {
  Tensor rows = iota({queries, 1}, 0);
  if (offset.defined()) rows = rows + offset;
  return iota({1, keys}, 1) <= rows;
}

Tensor masked(Tensor scores, const Attend& attend) {
  if (attend.causal)
    scores = where(causal_mask(scores.dim(-2), scores.dim(-1), attend.offset), scores, kMinusInfinity);
  if (attend.mask.defined()) scores = where(attend.mask, scores, kMinusInfinity);
  return scores;
}

}  // namespace

MultiHeadAttention::MultiHeadAttention(int64_t dim, int64_t heads, double dropout)
    : q(dim, dim),
      k(dim, dim),
      v(dim, dim),
      out(dim, dim),
      heads_(checked_heads(dim, heads)),
      dropout_(dropout) {
  add("q", q);
  add("k", k);
  add("v", v);
  add("out", out);
  add("dropout", dropout_);
}

// [B, L, dim] -> [B, heads, L, dim / heads]
Tensor MultiHeadAttention::split(const Tensor& x) const {
  if (x.rank() != 3)
    invalid("MultiHeadAttention: operands are [batch, length, dim], got " + to_string(x.shape()));
  return x.reshape({x.dim(0), x.dim(1), heads_, q.weight.shape()[0] / heads_}).transpose(1, 2);
}

KeyValue MultiHeadAttention::project(const Arg& memory) const {
  const ModuleScope scope(*this, memory.source);
  return {split(k(memory)), split(v(memory))};
}

AttentionResult MultiHeadAttention::over(const Arg& x, const KeyValue& memory, const Attend& attend) const {
  const ModuleScope scope(*this, x.source);
  const Tensor queries = split(q(x));
  const double scale = 1 / std::sqrt(static_cast<double>(q.weight.shape()[0] / heads_));
  const Tensor scores = matmul(queries, transpose(memory.keys, -1, -2)) * scale;
  const Tensor weights = softmax(masked(scores, attend), -1);
  const Tensor heads = matmul(dropout_(weights), memory.values);
  return {out(heads.transpose(1, 2).reshape(x.tensor.shape())), weights};
}

AttentionResult MultiHeadAttention::with_weights(const Arg& x, const Tensor& memory,
                                                 const Attend& attend) const {
  const ModuleScope scope(*this, x.source);
  return over(x, project(memory.defined() ? memory : x.tensor), attend);
}

Tensor MultiHeadAttention::operator()(const Arg& x, const Tensor& memory, const Attend& attend) const {
  return with_weights(x, memory, attend).output;
}

Tensor MultiHeadAttention::step(const Arg& x, KeyValue& cache, const Tensor& position) const {
  const ModuleScope scope(*this, x.source);
  const KeyValue now = project(x);
  cache.keys = cache_update(cache.keys, now.keys, position, 2);
  cache.values = cache_update(cache.values, now.values, position, 2);
  return over(x, cache, {.mask = {}, .causal = true, .offset = position}).output;
}

AdditiveAttention::AdditiveAttention(int64_t query_dim, int64_t memory_dim, int64_t hidden)
    : wq(query_dim, hidden), wk(memory_dim, hidden), score(hidden, 1, /*bias=*/false) {
  add("wq", wq);
  add("wk", wk);
  add("score", score);
}

AttentionResult AdditiveAttention::operator()(const Arg& query, const Tensor& keys, const Tensor& memory,
                                              const Tensor& mask) const {
  const ModuleScope scope(*this, query.source);
  Tensor scores = squeeze(score(tanh(keys + unsqueeze(wq(query), 1))), {-1});  // [B, L]
  if (mask.defined()) scores = where(mask, scores, kMinusInfinity);
  const Tensor weights = softmax(scores, -1);
  return {squeeze(matmul(unsqueeze(weights, 1), memory), {1}), weights};
}

}  // namespace fovea::nn
