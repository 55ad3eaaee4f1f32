// Generating sequences token by token: greedy, beam search, sampling.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "framework/tensor/array.h"

namespace fovea::nn {

/// What generation asks of a model: the distribution of the next token, for many sequences at once. It keeps
/// whatever it needs from step to step (caches, recurrent states), one row for each sequence that grows.
class StepDecoder {
 public:
  virtual ~StepDecoder() = default;
  /// Appends tokens[i] to row i and returns the log-probabilities f32 [rows, vocab] of what follows; valid,
  /// and the caller's to change, until the next call. Row i goes on from row from[i] of the call before; an
  /// empty `from` means every row from itself. Before the first call there is one row for each sequence,
  /// without any token.
  virtual Array step(std::span<const int32_t> tokens, std::span<const int64_t> from) = 0;
};

/// One sequence that is to be generated.
struct GenerateRequest {
  int64_t max_length = 64;  ///< most tokens, the end token included
  /// Of random numbers: equal streams and seeds draw equally, whatever stands beside them.
  uint64_t stream = 0;
};

/// How sequences are generated.
struct GenerateOptions {
  int32_t bos = 2, eos = 3;
  std::vector<int32_t> suppress;  ///< tokens that never come

  int64_t beam = 1;  ///< hypotheses followed in a beam search; 1: greedy
  /// Alpha: finished hypotheses are compared by log p / ((5 + length) / 6)^alpha (Wu et al. 2016).
  double length_penalty = 1;
  int64_t n_best = 1;  ///< results for each sequence; at most `beam`, any number when sampling

  bool sample = false;     ///< draw every token from the distribution
  double temperature = 1;  ///< log p / temperature; below 1 sharper
  int64_t top_k = 0;       ///< among the k likeliest (Fan et al. 2018); 0: all
  double top_p = 1;        ///< among the likeliest that make up p (Holtzman et al. 2020)
  uint64_t seed = 0;
};

/// One generated sequence and its score.
struct Hypothesis {
  std::vector<int32_t> tokens;  ///< without bos and eos
  double log_prob = 0;          ///< of the tokens, and of eos if it came
  double score = 0;             ///< log_prob over the length penalty
  bool finished = false;        ///< ended by eos, not by max_length
};

/// The length penalty ((5 + length) / 6)^alpha.
double length_penalty(int64_t length, double alpha);

/// Generates requests.size() sequences; returns n_best hypotheses for each, best first. Results do not depend
/// on what else is in the batch, as far as the model's do not. InvalidArgument for options out of range, and
/// where the model gives NaN.
std::vector<std::vector<Hypothesis>> generate(StepDecoder& decoder, std::span<const GenerateRequest> requests,
                                              const GenerateOptions& options = {});

}  // namespace fovea::nn
