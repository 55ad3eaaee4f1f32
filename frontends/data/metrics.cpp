#include "frontends/data/metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <unordered_map>

#include "framework/base/error.h"
#include "frontends/data/utf8.h"

namespace fovea::data {
namespace {

constexpr int kBleuOrder = 4;
constexpr int kChrfOrder = 6;
constexpr double kChrfBeta = 2;

using Symbols = std::vector<uint32_t>;
using Ngram = std::array<uint32_t, 6>;

std::vector<Ngram> sorted_ngrams(const Symbols& symbols, int order) {
  std::vector<Ngram> out;
  for (size_t i = 0; i + order <= symbols.size(); ++i) {
    Ngram gram{};
    std::copy_n(symbols.begin() + i, order, gram.begin());
    out.push_back(gram);
  }
  std::sort(out.begin(), out.end());
  return out;
}

// Size of the intersection of two sorted multisets.
int64_t count_matches(const std::vector<Ngram>& a, const std::vector<Ngram>& b) {
  int64_t count = 0;
  for (auto i = a.begin(), j = b.begin(); i != a.end() && j != b.end();) {
    if (*i < *j) {
      ++i;
    } else if (*j < *i) {
      ++j;
    } else {
      ++count, ++i, ++j;
    }
  }
  return count;
}

struct Counts {
  int64_t hyp = 0, ref = 0, match = 0;
};

template <size_t N>
void add_counts(std::array<Counts, N>& counts, const Symbols& hyp, const Symbols& ref) {
  for (size_t n = 0; n < N; ++n) {
    const auto hyp_grams = sorted_ngrams(hyp, static_cast<int>(n + 1));
    const auto ref_grams = sorted_ngrams(ref, static_cast<int>(n + 1));
    counts[n].hyp += static_cast<int64_t>(hyp_grams.size());
    counts[n].ref += static_cast<int64_t>(ref_grams.size());
    counts[n].match += count_matches(hyp_grams, ref_grams);
  }
}

void check_corpus(const std::vector<std::string>& hypotheses, const std::vector<std::string>& references) {
  if (hypotheses.size() != references.size())
    invalid(std::to_string(hypotheses.size()) + " hypotheses for " + std::to_string(references.size()) +
            " references");
  if (hypotheses.empty()) invalid("a score needs at least one hypothesis, there are 0");
  for (const auto* side : {&hypotheses, &references})
    for (size_t i = 0; i < side->size(); ++i)
      if (const int64_t bad = find_bad_utf8((*side)[i]); bad >= 0)
        fail(ErrorKind::Corrupt, std::string(side == &hypotheses ? "hypothesis " : "reference ") +
                                     std::to_string(i) + " is not UTF-8 at byte " + std::to_string(bad));
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  std::string out;
  size_t at = 0;
  for (size_t hit; (hit = text.find(from, at)) != std::string::npos; at = hit + from.size())
    out.append(text, at, hit - at).append(to);
  text = out.append(text, at);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_stop(char c) { return c == '.' || c == ','; }
// Printable ASCII that always stands alone: all but letters, digits, the apostrophe, comma, dash and full
// stop.
bool is_lone(char c) {
  return (c >= ' ' && c <= '&') || (c >= '(' && c <= '+') || c == '/' || (c >= ':' && c <= '@') ||
         (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

// Copies `text`, and where two neighbours fulfil `pair`, puts `before` in front of them, `between` and
// `after` around the second. Pairs do not overlap: the search goes on behind the second.
template <class Pair>
std::string space_pairs(const std::string& text, Pair pair, const char* before, const char* between,
                        const char* after) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i + 1 == text.size() || !pair(text[i], text[i + 1])) {
      out += text[i];
      continue;
    }
    out.append(before).append(1, text[i]).append(between).append(1, text[i + 1]).append(after);
    ++i;
  }
  return out;
}

std::string join(const std::vector<std::string_view>& words) {
  std::string out;
  for (const std::string_view word : words) out.append(out.empty() ? "" : " ").append(word);
  return out;
}

class WordNumbers {
 public:
  Symbols number(const std::string& tokenized) {
    Symbols out;
    for (const std::string_view word : split_words(tokenized))
      out.push_back(
          numbers_.try_emplace(std::string(word), static_cast<uint32_t>(numbers_.size())).first->second);
    return out;
  }

 private:
  std::unordered_map<std::string, uint32_t> numbers_;
};

Symbols characters(const std::string& text) {
  Symbols out = code_points(text);
  std::erase_if(out, [](uint32_t c) { return is_space(c); });
  return out;
}

}  // namespace

std::string tokenize_13a(std::string_view line) {
  std::string text(strip_end(line));
  replace_all(text, "<skipped>", "");
  replace_all(text, "-\n", "");
  replace_all(text, "\n", " ");
  replace_all(text, "&quot;", "\"");
  replace_all(text, "&amp;", "&");
  replace_all(text, "&lt;", "<");
  replace_all(text, "&gt;", ">");
  std::string spaced = " ";
  for (const char c : text) {
    if (is_lone(c))
      spaced.append(1, ' ').append(1, c).append(1, ' ');
    else
      spaced += c;
  }
  spaced += ' ';
  // A full stop or comma belongs to a number only between two digits; a dash behind a digit stands alone.
  spaced = space_pairs(
      spaced, [](char a, char b) { return !is_digit(a) && is_stop(b); }, "", " ", " ");
  spaced = space_pairs(
      spaced, [](char a, char b) { return is_stop(a) && !is_digit(b); }, " ", " ", "");
  spaced = space_pairs(
      spaced, [](char a, char b) { return is_digit(a) && b == '-'; }, "", " ", " ");
  return join(split_words(spaced));
}

BleuScore corpus_bleu(const std::vector<std::string>& hypotheses,
                      const std::vector<std::string>& references) {
  check_corpus(hypotheses, references);
  WordNumbers words;
  std::array<Counts, kBleuOrder> counts{};
  BleuScore out;
  for (size_t i = 0; i < hypotheses.size(); ++i) {
    const Symbols hyp = words.number(tokenize_13a(hypotheses[i]));
    const Symbols ref = words.number(tokenize_13a(references[i]));
    out.hyp_len += static_cast<int64_t>(hyp.size());
    out.ref_len += static_cast<int64_t>(ref.size());
    add_counts(counts, hyp, ref);
  }
  out.brevity_penalty = 1;
  if (out.hyp_len < out.ref_len)
    out.brevity_penalty = out.hyp_len > 0 ? std::exp(1 - static_cast<double>(out.ref_len) / out.hyp_len) : 0;
  if (std::all_of(counts.begin(), counts.end(), [](const Counts& c) { return c.match == 0; })) return out;

  double smooth = 1, logs = 0;
  bool every_order = true;
  for (int n = 0; n < kBleuOrder && every_order; ++n) {
    every_order = counts[n].hyp > 0;
    if (!every_order) break;
    if (counts[n].match == 0) smooth *= 2;
    const double matches = counts[n].match == 0 ? 1 / smooth : static_cast<double>(counts[n].match);
    out.precisions[n] = 100 * matches / static_cast<double>(counts[n].hyp);
    logs += std::log(out.precisions[n]);
  }
  // Without a single 4-gram in the hypotheses the score is 0, as the geometric mean is.
  if (every_order) out.score = out.brevity_penalty * std::exp(logs / kBleuOrder);
  return out;
}

double corpus_chrf(const std::vector<std::string>& hypotheses, const std::vector<std::string>& references) {
  check_corpus(hypotheses, references);
  std::array<Counts, kChrfOrder> total{};
  for (size_t i = 0; i < hypotheses.size(); ++i) {
    std::array<Counts, kChrfOrder> counts{};
    add_counts(counts, characters(hypotheses[i]), characters(references[i]));
    for (int n = 0; n < kChrfOrder; ++n) {
      total[n].hyp += counts[n].ref > 0 ? counts[n].hyp : 0;  // no reference, no miss
      total[n].ref += counts[n].ref;
      total[n].match += counts[n].match;
    }
  }
  double precision = 0, recall = 0;
  int orders = 0;
  for (const Counts& c : total) {
    if (c.hyp == 0 || c.ref == 0) continue;
    precision += static_cast<double>(c.match) / static_cast<double>(c.hyp);
    recall += static_cast<double>(c.match) / static_cast<double>(c.ref);
    ++orders;
  }
  if (precision + recall == 0) return 0;
  precision /= orders;
  recall /= orders;
  const double factor = kChrfBeta * kChrfBeta;
  return 100 * (1 + factor) * precision * recall / (factor * precision + recall);
}

}  // namespace fovea::data
