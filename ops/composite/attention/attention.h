// The one node that every spelling of attention becomes. Model authors write plain operations; the compiler
// makes this node (docs/guide/attention.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/build/tensor.h"
#include "ops/shared/tile/program.h"

namespace fovea {

/// What an attention node computes besides its products. Programs run over the space [batch..., query, key];
/// operand 0 is s = sum_d q k, operand n >= 1 is leaf n - 1.
///   o[b,i,e] = sum_j factor * p[b,i,j] * v[b,j,e],  p = exp(score) / (sum_j exp(score) + exp(sink))
/// Where the factor is 0, factor * p is 0 even if p is NaN.
struct AttentionSpec {
  tiles::Program score;   ///< one real result, a function of s and leaves: scale, softcap, biases, masks
  tiles::Program factor;  ///< empty, or one real result free of s: dropout, gates
  tiles::Program sink;    ///< empty (no sink), or one real result free of s and of the key index
  std::string guard =
      "none";  ///< "nan": where(isnan(p), 0, p); "empty": rows whose scores are all -inf give 0
  /// Order in which the axes of the result [batch..., query, channel] lie in memory; empty: as they are.
  std::vector<int64_t> order;
};

/// The node's results.
struct AttentionResult {
  Tensor y;    ///< [batch..., query, channel], its axes in spec.order
  Tensor lse;  ///< log(sum_j exp(score) + exp(sink)) [batch..., query], f32, or f64 for f64
};

/// Adds the node "attention". q [batch..., Lq, D], k [batch..., Lk, D], v [batch..., Lk, E] with equal rank 2
/// to 7; batch axes of each are the full size or 1 (grouped and multi-query heads, shared keys). Leaves have
/// the rank of q; every axis is full size or 1; any dtype; the key of a random instruction is an i64[2] leaf.
/// The node has a third result, rest: what rounding took from lse, for the gradient's sake.
/// Attributes: score, factor, sink (text of the programs), guard, order.
AttentionResult attention(const Tensor& q, const Tensor& k, const Tensor& v,
                          const std::vector<Tensor>& leaves, const AttentionSpec& spec,
                          Source source = Source::here());

}  // namespace fovea
