// The two ways of generating, and the reading of log-probabilities they share.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "frontends/nn/generate.h"

namespace fovea::nn::decoding {

using Results = std::vector<std::vector<Hypothesis>>;

/// Greedy choice or sampling: a row for each hypothesis, none of which looks at another.
Results one_by_one(StepDecoder& decoder, std::span<const GenerateRequest> requests,
                   const GenerateOptions& options);

/// Beam search: `beam` rows for each sequence.
Results beam_search(StepDecoder& decoder, std::span<const GenerateRequest> requests,
                    const GenerateOptions& options);

/// A token and its log-probability.
struct Choice {
  double log_prob;
  int32_t token;
};

/// The log-probabilities of one step, checked, without the suppressed tokens.
class Scores {
 public:
  /// InvalidArgument unless `log_probs` is f32 [rows, vocab].
  Scores(Array log_probs, int64_t rows, std::span<const int32_t> suppress);

  std::span<const float> row(int64_t i) const { return {data_ + i * vocab_, static_cast<size_t>(vocab_)}; }
  int64_t vocab() const { return vocab_; }

 private:
  Array log_probs_;  // kept: a decoder may hand out an array that it does not hold itself
  const float* data_;
  int64_t vocab_;
};

/// The likeliest token: the first one where several tie. InvalidArgument for NaN.
Choice best(std::span<const float> log_probs);

/// Appends the `count` likeliest tokens that are not -inf, best first; of ties the lower ones.
/// InvalidArgument for NaN.
void best(std::span<const float> log_probs, int64_t count, std::vector<Choice>& out);

/// Draws a token by `uniform` in [0, 1) from the distribution that temperature, top_k and top_p leave.
Choice draw(std::span<const float> log_probs, const GenerateOptions& options, double uniform);

}  // namespace fovea::nn::decoding
