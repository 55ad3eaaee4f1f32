#include "framework/runtime/thread_pool.h"
#include "frontends/data/random.h"
#include "frontends/nn/decoding/search.h"

namespace fovea::nn::decoding {
namespace {

// One hypothesis that grows.
struct Growing {
  size_t request;
  uint64_t stream;
  Hypothesis hypothesis;
  bool over = false;
};

void append(Growing& g, const Choice& choice, const GenerateOptions& o, int64_t max_length) {
  Hypothesis& h = g.hypothesis;
  h.log_prob += choice.log_prob;
  h.finished = choice.token == o.eos;
  if (!h.finished) h.tokens.push_back(choice.token);
  const auto length = static_cast<int64_t>(h.tokens.size()) + h.finished;
  g.over = h.finished || length >= max_length;
  h.score = h.log_prob / length_penalty(length, o.length_penalty);
}

}  // namespace

Results one_by_one(StepDecoder& decoder, std::span<const GenerateRequest> requests,
                   const GenerateOptions& o) {
  std::vector<Growing> all;
  std::vector<int64_t> from;
  for (size_t i = 0; i < requests.size(); ++i)
    for (int64_t k = 0; k < o.n_best; ++k) {
      from.push_back(static_cast<int64_t>(i));
      all.push_back(
          {i, requests[i].stream * static_cast<uint64_t>(o.n_best) + static_cast<uint64_t>(k), {}, false});
    }
  if (o.n_best == 1) from.clear();
  std::vector<size_t> rows(all.size());
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = i;
  std::vector<int32_t> tokens(rows.size(), o.bos);

  for (int64_t step = 0;; ++step) {
    const Scores scores(decoder.step(tokens, from), static_cast<int64_t>(rows.size()), o.suppress);
    constexpr int64_t kRows = 8;  // of one block
    default_pool().parallel_for((static_cast<int64_t>(rows.size()) + kRows - 1) / kRows, [&](int64_t block) {
      for (auto r = static_cast<size_t>(block * kRows);
           r < std::min(rows.size(), static_cast<size_t>((block + 1) * kRows)); ++r) {
        Growing& g = all[rows[r]];
        tokens[r] = o.eos;
        if (g.over) continue;
        Choice choice = best(scores.row(static_cast<int64_t>(r)));
        if (o.sample) {
          data::Random random(o.seed, g.stream << 20 | static_cast<uint64_t>(step));
          choice = draw(scores.row(static_cast<int64_t>(r)), o, random.uniform());
        }
        append(g, choice, o, requests[g.request].max_length);
        tokens[r] = choice.token;
      }
    });
    // Rows that are over cost as much as the others: they are left out once they are half of all.
    std::vector<int64_t> growing;
    for (size_t r = 0; r < rows.size(); ++r)
      if (!all[rows[r]].over) growing.push_back(static_cast<int64_t>(r));
    from.clear();
    if (growing.empty()) break;
    if (2 * growing.size() > rows.size()) continue;
    for (size_t i = 0; i < growing.size(); ++i) {
      rows[i] = rows[static_cast<size_t>(growing[i])];
      tokens[i] = tokens[static_cast<size_t>(growing[i])];
    }
    rows.resize(growing.size());
    tokens.resize(growing.size());
    from = std::move(growing);
  }

  Results out(requests.size());
  for (Growing& g : all) out[g.request].push_back(std::move(g.hypothesis));
  return out;
}

}  // namespace fovea::nn::decoding
