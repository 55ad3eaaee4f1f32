// Generation against exhaustive search over small vocabularies.
#include "frontends/nn/generate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "framework/base/error.h"
#include "frontends/data/random.h"
#include "frontends/nn/decoding/search.h"

namespace fovea::nn {
namespace {

constexpr int32_t kBos = 0, kEos = 1;

// log p(next | sequence, history), a made-up distribution that depends on every token before.
std::vector<double> distribution(uint64_t sequence, const std::vector<int32_t>& history, int64_t vocab) {
  uint64_t seed = sequence + 17;
  for (const int32_t t : history) seed = seed * 31 + static_cast<uint64_t>(t) + 1;
  data::Random random(seed, 0);
  std::vector<double> logits(static_cast<size_t>(vocab));
  double total = 0;
  for (double& l : logits) total += std::exp(l = 3 * random.uniform());
  for (double& l : logits) l -= std::log(total);
  return logits;
}

// A decoder that keeps the tokens of each row, so that a wrong row shows in everything that follows.
class TableDecoder : public StepDecoder {
 public:
  TableDecoder(std::vector<uint64_t> sequences, int64_t vocab) : vocab_(vocab) {
    for (const uint64_t s : sequences) rows_.push_back({s, {}});
  }
  Array step(std::span<const int32_t> tokens, std::span<const int64_t> from) override {
    std::vector<Row> next;
    for (size_t i = 0; i < tokens.size(); ++i) {
      next.push_back(rows_.at(static_cast<size_t>(from.empty() ? static_cast<int64_t>(i) : from[i])));
      next.back().history.push_back(tokens[i]);
    }
    rows_ = std::move(next);
    sizes.push_back(static_cast<int64_t>(rows_.size()));
    Array out(DType::f32, {sizes.back(), vocab_});
    for (size_t r = 0; r < rows_.size(); ++r) {
      const auto p =
          distribution(rows_[r].sequence, {rows_[r].history.begin() + 1, rows_[r].history.end()}, vocab_);
      for (size_t v = 0; v < p.size(); ++v)
        out.data<float>()[static_cast<int64_t>(r) * vocab_ + static_cast<int64_t>(v)] =
            static_cast<float>(p[v]);
    }
    return out;
  }
  std::vector<int64_t> sizes;  // rows of each step

 private:
  struct Row {
    uint64_t sequence;
    std::vector<int32_t> history;
  };
  std::vector<Row> rows_;
  int64_t vocab_;
};

GenerateOptions options() {
  GenerateOptions o;
  o.bos = kBos;
  o.eos = kEos;
  o.suppress = {kBos};
  return o;
}

std::vector<GenerateRequest> requests(size_t n, int64_t max_length) {
  return std::vector<GenerateRequest>(n, {max_length, 0});
}

// Every sequence that may come, with its score.
void enumerate(uint64_t sequence, int64_t vocab, int64_t max_length, double alpha,
               std::vector<int32_t>& tokens, double log_prob, std::vector<Hypothesis>& out) {
  const auto p = distribution(sequence, tokens, vocab);
  const auto length = static_cast<int64_t>(tokens.size()) + 1;
  const double penalty = std::pow((5.0 + static_cast<double>(length)) / 6.0, alpha);
  for (int32_t t = 0; t < vocab; ++t) {
    if (t == kBos) continue;
    const double now = log_prob + p[static_cast<size_t>(t)];
    if (t == kEos) {
      out.push_back({tokens, now, now / penalty, true});
      continue;
    }
    tokens.push_back(t);
    if (length == max_length)
      out.push_back({tokens, now, now / penalty, false});
    else
      enumerate(sequence, vocab, max_length, alpha, tokens, now, out);
    tokens.pop_back();
  }
}

TEST(Generate, GreedyTakesTheLikeliestToken) {
  constexpr int64_t kVocab = 7;
  TableDecoder decoder({0, 1, 2, 3, 4, 5, 6, 7}, kVocab);
  const auto results = generate(decoder, requests(8, 12), options());
  ASSERT_EQ(results.size(), 8u);
  for (uint64_t s = 0; s < 8; ++s) {
    std::vector<int32_t> want;
    double log_prob = 0;
    bool finished = false;
    for (int length = 0; length < 12 && !finished; ++length) {
      const auto p = distribution(s, want, kVocab);
      const auto best = std::max_element(p.begin() + 1, p.end()) - p.begin();
      log_prob += p[static_cast<size_t>(best)];
      if (best == kEos)
        finished = true;
      else
        want.push_back(static_cast<int32_t>(best));
    }
    ASSERT_EQ(results[s].size(), 1u);
    EXPECT_EQ(results[s][0].tokens, want) << s;
    EXPECT_EQ(results[s][0].finished, finished);
    EXPECT_NEAR(results[s][0].log_prob, log_prob, 1e-5);
  }
  // Finished rows are dropped when they are half of all.
  EXPECT_LT(decoder.sizes.back(), decoder.sizes.front());
}

class WideBeam : public testing::TestWithParam<double> {};

TEST_P(WideBeam, FindsTheBestOfAllSequences) {
  constexpr int64_t kVocab = 5, kLength = 4;
  for (uint64_t s = 0; s < 5; ++s) {
    std::vector<Hypothesis> all;
    std::vector<int32_t> tokens;
    enumerate(s, kVocab, kLength, GetParam(), tokens, 0, all);
    std::sort(all.begin(), all.end(),
              [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
    GenerateOptions o = options();
    o.beam = 200;  // more than there are sequences
    o.n_best = 6;
    o.length_penalty = GetParam();
    TableDecoder decoder({s}, kVocab);
    const auto got = generate(decoder, requests(1, kLength), o).at(0);
    ASSERT_EQ(got.size(), 6u);
    for (size_t k = 0; k < got.size(); ++k) {
      EXPECT_EQ(got[k].tokens, all[k].tokens) << "sequence " << s << ", result " << k;
      EXPECT_EQ(got[k].finished, all[k].finished);
      EXPECT_NEAR(got[k].score, all[k].score, 1e-5);
      EXPECT_NEAR(got[k].log_prob, all[k].log_prob, 1e-5);
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Penalties, WideBeam, testing::Values(0.0, 0.6, 1.0, 2.0));

TEST(Generate, BeamOfABatchIsTheBeamOfEach) {
  constexpr int64_t kVocab = 9;
  std::vector<uint64_t> sequences{3, 14, 15, 9, 26, 5, 35};
  std::vector<GenerateRequest> wanted;
  for (size_t i = 0; i < sequences.size(); ++i) wanted.push_back({static_cast<int64_t>(3 + 2 * i), 0});
  GenerateOptions o = options();
  o.beam = 3;
  o.n_best = 3;
  TableDecoder all(sequences, kVocab);
  const auto together = generate(all, wanted, o);
  EXPECT_EQ(all.sizes[0], 7);
  EXPECT_EQ(all.sizes[1], 21);
  EXPECT_LT(all.sizes.back(), 21);  // sequences that were over have gone
  for (size_t i = 0; i < sequences.size(); ++i) {
    TableDecoder one({sequences[i]}, kVocab);
    const auto alone = generate(one, std::span(&wanted[i], 1), o).at(0);
    ASSERT_EQ(together[i].size(), alone.size());
    for (size_t k = 0; k < alone.size(); ++k) {
      EXPECT_EQ(together[i][k].tokens, alone[k].tokens);
      EXPECT_EQ(together[i][k].score, alone[k].score);
      EXPECT_LE(alone[k].tokens.size(), static_cast<size_t>(wanted[i].max_length));
    }
  }
}

TEST(Generate, WiderBeamsAreNoLessLikely) {
  double narrow = 0, wide = 0;
  for (uint64_t s = 0; s < 40; ++s) {
    GenerateOptions o = options();
    o.length_penalty = 0;
    TableDecoder a({s}, 8), b({s}, 8);
    narrow += generate(a, requests(1, 6), o)[0][0].log_prob;
    o.beam = 8;
    wide += generate(b, requests(1, 6), o)[0][0].log_prob;
  }
  EXPECT_GT(wide, narrow + 1);
}

// How often each first token comes when n sequences are drawn.
std::map<int32_t, double> frequencies(const GenerateOptions& o, int64_t vocab, int64_t n) {
  TableDecoder decoder({7}, vocab);
  GenerateOptions sampling = o;
  sampling.n_best = n;
  std::map<int32_t, double> out;
  const auto drawn = generate(decoder, requests(1, 1), sampling);
  for (const Hypothesis& h : drawn[0])
    out[h.finished ? kEos : h.tokens.at(0)] += 1.0 / static_cast<double>(n);
  return out;
}

TEST(Generate, SamplesFollowTheDistribution) {
  constexpr int64_t kVocab = 6, kDraws = 40000;
  GenerateOptions o = options();
  o.sample = true;
  o.suppress.clear();
  for (const double temperature : {0.5, 1.0, 2.0}) {
    o.temperature = temperature;
    std::vector<double> p = distribution(7, {}, kVocab);
    double total = 0;
    for (double& x : p) total += x = std::exp(x / temperature);
    const auto got = frequencies(o, kVocab, kDraws);
    for (int32_t t = 0; t < kVocab; ++t) {
      const double want = p[static_cast<size_t>(t)] / total;
      EXPECT_NEAR(got.contains(t) ? got.at(t) : 0.0, want, 5 * std::sqrt(want / kDraws))
          << "token " << t << " at temperature " << temperature;
    }
  }
}

TEST(Generate, TopKAndTopPLeaveTheLikeliest) {
  constexpr int64_t kVocab = 6, kDraws = 5000;
  const std::vector<double> p = distribution(7, {}, kVocab);
  std::vector<int32_t> order(kVocab);
  for (int32_t t = 0; t < kVocab; ++t) order[static_cast<size_t>(t)] = t;
  std::sort(order.begin(), order.end(),
            [&](int32_t a, int32_t b) { return p[static_cast<size_t>(a)] > p[static_cast<size_t>(b)]; });
  auto keys = [](const std::map<int32_t, double>& m) {
    std::set<int32_t> out;
    for (const auto& [t, share] : m) out.insert(t);
    return out;
  };
  GenerateOptions o = options();
  o.sample = true;
  o.suppress.clear();
  o.top_k = 2;
  EXPECT_EQ(keys(frequencies(o, kVocab, kDraws)), (std::set<int32_t>{order[0], order[1]}));
  o.top_k = 0;
  o.top_p = std::exp(p[static_cast<size_t>(order[0])]) + 1e-6;  // a hair more than the likeliest alone
  EXPECT_EQ(keys(frequencies(o, kVocab, kDraws)), (std::set<int32_t>{order[0], order[1]}));
  o.top_p = 1e-9;
  EXPECT_EQ(keys(frequencies(o, kVocab, kDraws)), (std::set<int32_t>{order[0]}));
}

TEST(Generate, SamplesDependOnSeedAndStreamAlone) {
  GenerateOptions o = options();
  o.sample = true;
  o.seed = 5;
  const std::vector<GenerateRequest> both{{20, 8}, {20, 3}};
  TableDecoder a({1, 2}, 30), b({2}, 30), c({2}, 30);
  const auto together = generate(a, both, o);
  EXPECT_EQ(generate(b, std::span(&both[1], 1), o)[0][0].tokens, together[1][0].tokens);
  o.seed = 6;
  EXPECT_NE(generate(c, std::span(&both[1], 1), o)[0][0].tokens, together[1][0].tokens);
}

TEST(Generate, TiesGoToTheLowerToken) {
  const std::vector<float> row{-5, -1, -3, -1, -1, -3};
  std::vector<decoding::Choice> three;
  decoding::best(row, 4, three);
  ASSERT_EQ(three.size(), 4u);
  EXPECT_EQ(three[0].token, 1);
  EXPECT_EQ(three[1].token, 3);
  EXPECT_EQ(three[2].token, 4);
  EXPECT_EQ(three[3].token, 2);
  EXPECT_EQ(decoding::best(row).token, 1);
}

TEST(Generate, Errors) {
  auto message = [](const GenerateOptions& o) {
    TableDecoder decoder({0}, 5);
    try {
      generate(decoder, requests(1, 3), o);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  GenerateOptions o = options();
  o.beam = 0;
  EXPECT_EQ(message(o), "InvalidArgument: beam is 0, less than 1");
  o = options();
  o.n_best = 3;
  o.beam = 2;
  EXPECT_EQ(message(o), "InvalidArgument: n_best is 3, more than the beam of 2: widen the beam");
  o = options();
  o.temperature = 0;
  EXPECT_NE(message(o).find("temperature is 0"), std::string::npos);
  o = options();
  o.top_p = 1.5;
  EXPECT_NE(message(o).find("top_p is 1.5"), std::string::npos);
  o = options();
  o.suppress = {5};
  EXPECT_EQ(message(o), "InvalidArgument: suppressed token 5 is not in [0, 5)");

  struct Nan : StepDecoder {
    Array step(std::span<const int32_t>, std::span<const int64_t>) override {
      return Array::full(DType::f32, {1, 4}, NAN);
    }
  } nan;
  for (const int64_t beam : {1, 2}) {
    o = options();
    o.beam = beam;
    EXPECT_THROW(generate(nan, requests(1, 3), o), Error);
  }
}

}  // namespace
}  // namespace fovea::nn
