// The networks that translate, as they are trained and as they are saved.
#pragma once

#include <memory>
#include <string>

#include "frontends/nn/model.h"

namespace fovea::models {

/// Which network, and its sizes.
struct NetworkConfig {
  std::string kind = "translator";  ///< or "gru-translator"
  int64_t vocab = 4000, dim = 128, heads = 2, hidden = 512,
          layers = 2;    ///< the last three of a translator only
  double dropout = 0.1;  ///< of a translator only
  int64_t length = 512;  ///< longest sequence of a translator

  /// As JSON: {"kind": "translator", "vocab": 4000, ...}.
  std::string str() const;
};

/// The network as a model that maps source and target ids i32 [B, S], [B, T] to logits, initialised from
/// `seed`. Ids are 0 where padded. What it saves holds these entries beside "predict", all over the weights:
///
///   encode       source -> context.* (fixed for a sequence, first axis: sequence), state.* (first states)
///   decode_step  tokens i32 [R], position i64, context.*, state.* -> log_probs f32 [R, vocab], state.*
///   decode_rows  the same with rows i64 [R]: row i goes on from row rows[i] of the states
///   nll          source, target, labels -> the sum of -log p(label) over labels that are not 0
///   attention    source, target -> f32 [B, layers, heads, T, S]: what each target token looked at in the
///   source
///
/// States that encode does not give begin as zeros; an axis of size C of theirs is the capacity, at least
/// position + 1. InvalidArgument for an unknown kind.
nn::Model make_network(const NetworkConfig& config, uint64_t seed);

/// The types of {source, target, labels}.
std::vector<Spec> translation_specs();

}  // namespace fovea::models
