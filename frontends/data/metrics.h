// Scores of translations against references.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::data {

/// Corpus BLEU, 0 to 100, and what it is made of.
/// BLEU = bp * exp(mean over n = 1..4 of log p_n), bp = min(1, exp(1 - ref_len / hyp_len)); the k-th order
/// without a match counts p_n = 1 / (2^k total_n) (Papineni et al. 2002; smoothing as mteval-v13a).
struct BleuScore {
  double score = 0;
  double precisions[4] = {0, 0, 0, 0};  ///< percent
  double brevity_penalty = 0;
  int64_t hyp_len = 0, ref_len = 0;  ///< tokens
};

/// BLEU of hypotheses against one reference each, as sacrebleu's defaults: case kept, 13a tokens, exponential
/// smoothing. InvalidArgument when the two differ in count or are empty, Corrupt for text that is not UTF-8.
BleuScore corpus_bleu(const std::vector<std::string>& hypotheses, const std::vector<std::string>& references);

/// Corpus chrF2, 0 to 100: the F score (beta 2) of precision and recall averaged over character n-grams of 1
/// to 6, white space left out; orders that either side lacks do not count (Popovic 2015, as sacrebleu's
/// defaults). Errors as corpus_bleu.
double corpus_chrf(const std::vector<std::string>& hypotheses, const std::vector<std::string>& references);

/// The tokens of a line by the 13a rules (mteval-v13a for Western languages), with single spaces between
/// them.
std::string tokenize_13a(std::string_view line);

}  // namespace fovea::data
