#include <algorithm>
#include <limits>

#include "framework/runtime/thread_pool.h"
#include "frontends/nn/decoding/search.h"

namespace fovea::nn::decoding {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

// A live hypothesis.
struct Live {
  double log_prob = 0;
  int32_t token = 0;
  int32_t at = -1;  // its last token's place in the trail; -1 at the beginning
  int64_t row = 0;  // of the last step
};

// The beam of one sequence.
struct Search {
  GenerateRequest request;
  std::vector<Live> live;  // `beam` of them after the first step, best first
  // (token, place of the one before) of all that was ever live
  std::vector<std::pair<int32_t, int32_t>> trail;
  std::vector<Hypothesis> done;  // best first, at most `beam`
  bool over = false;
};

std::vector<int32_t> tokens_of(const Search& s, int32_t at) {
  std::vector<int32_t> tokens;
  for (; at >= 0; at = s.trail[static_cast<size_t>(at)].second)
    tokens.push_back(s.trail[static_cast<size_t>(at)].first);
  std::reverse(tokens.begin(), tokens.end());
  return tokens;
}

void finish(Search& s, double log_prob, int32_t last, int64_t length, bool finished,
            const GenerateOptions& o) {
  Hypothesis h{{}, log_prob, log_prob / length_penalty(length, o.length_penalty), finished};
  if (s.done.size() == static_cast<size_t>(o.beam) && !(h.score > s.done.back().score)) return;
  h.tokens = tokens_of(s, last);
  const auto at =
      std::upper_bound(s.done.begin(), s.done.end(), h,
                       [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
  s.done.insert(at, std::move(h));
  if (s.done.size() > static_cast<size_t>(o.beam)) s.done.pop_back();
}

// Takes over the candidates of one step; `length` counts the token that is added.
void advance(Search& s, const Scores& scores, int64_t length, const GenerateOptions& o) {
  struct Candidate {
    Choice choice;
    int32_t from;
  };
  std::vector<Candidate> candidates;
  std::vector<Choice> row;
  const auto beam = static_cast<size_t>(o.beam);
  for (size_t j = 0; j < s.live.size(); ++j) {
    if (s.live[j].log_prob == kMinusInfinity) continue;
    row.clear();
    best(scores.row(s.live[j].row), 2 * o.beam, row);
    for (const Choice& c : row)
      candidates.push_back({{s.live[j].log_prob + c.log_prob, c.token}, static_cast<int32_t>(j)});
  }
  std::stable_sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return a.choice.log_prob > b.choice.log_prob;
  });

  const std::vector<Live> before = std::move(s.live);
  s.live.clear();
  for (size_t rank = 0; rank < candidates.size() && s.live.size() < beam; ++rank) {
    const Candidate& c = candidates[rank];
    const Live& from = before[static_cast<size_t>(c.from)];
    if (c.choice.token == o.eos) {
      if (rank < beam) finish(s, c.choice.log_prob, from.at, length, true, o);
      continue;
    }
    s.trail.emplace_back(c.choice.token, from.at);
    s.live.push_back({c.choice.log_prob, c.choice.token, static_cast<int32_t>(s.trail.size()) - 1, from.row});
  }
  const bool at_end = length >= s.request.max_length;
  if (at_end)
    for (const Live& l : s.live) finish(s, l.log_prob, l.at, length, false, o);
  // Full, and nothing that is live would be taken if it ended here.
  const bool full = s.done.size() == beam;
  s.over = at_end || s.live.empty() ||
           (full && s.live[0].log_prob / length_penalty(length, o.length_penalty) <= s.done.back().score);
  // Every sequence keeps `beam` rows; those too many have probability 0.
  while (s.live.size() < beam) s.live.push_back({kMinusInfinity, o.eos, -1, before[0].row});
}

// The rows of the next step, for sequences that are not over and, unless `compact`, for the others too.
void lay_out(std::vector<Search>& all, std::vector<size_t>& active, bool compact, const GenerateOptions& o,
             std::vector<int32_t>& tokens, std::vector<int64_t>& from) {
  if (compact) std::erase_if(active, [&](size_t i) { return all[i].over; });
  tokens.clear();
  from.clear();
  for (const size_t i : active) {
    Search& s = all[i];
    for (Live& l : s.live) {
      tokens.push_back(s.over ? o.eos : l.token);
      from.push_back(l.row);
      l.row = static_cast<int64_t>(from.size()) - 1;
    }
  }
}

}  // namespace

Results beam_search(StepDecoder& decoder, std::span<const GenerateRequest> requests,
                    const GenerateOptions& o) {
  std::vector<Search> all;
  std::vector<size_t> active;
  for (size_t i = 0; i < requests.size(); ++i) {
    all.push_back({requests[i], {Live{0, o.bos, -1, static_cast<int64_t>(i)}}, {}, {}, false});
    active.push_back(i);
  }
  std::vector<int32_t> tokens(requests.size(), o.bos);
  std::vector<int64_t> from;
  for (int64_t length = 1; !active.empty(); ++length) {
    const Scores scores(decoder.step(tokens, from), static_cast<int64_t>(tokens.size()), o.suppress);
    default_pool().parallel_for(static_cast<int64_t>(active.size()), [&](int64_t i) {
      Search& s = all[active[static_cast<size_t>(i)]];
      if (!s.over) advance(s, scores, length, o);
    });
    const auto growing = static_cast<size_t>(
        std::count_if(active.begin(), active.end(), [&](size_t i) { return !all[i].over; }));
    if (growing == 0) break;
    // The rows of sequences that are over go once they are half of all.
    lay_out(all, active, 2 * growing <= active.size(), o, tokens, from);
  }

  Results out;
  for (Search& s : all) {
    if (s.done.size() > static_cast<size_t>(o.n_best)) s.done.resize(static_cast<size_t>(o.n_best));
    out.push_back(std::move(s.done));
  }
  return out;
}

}  // namespace fovea::nn::decoding
