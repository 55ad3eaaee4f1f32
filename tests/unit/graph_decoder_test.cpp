// Saved decoding graphs against the whole model.
#include "frontends/nn/decoding/graph_decoder.h"

#include <gtest/gtest.h>

#include <cmath>

#include "framework/base/error.h"
#include "frontends/cpp/trace.h"
#include "frontends/data/random.h"
#include "frontends/models/translation/network.h"
#include "frontends/nn/generate.h"
#include "graph/serial/model_file.h"

namespace fovea::nn {
namespace {

// A network's saved entries.
struct Saved {
  ModelFile file;
  std::map<std::string, Array> weights;
  explicit Saved(const models::NetworkConfig& config) {
    Model model = models::make_network(config, 11);
    auto specs = models::translation_specs();
    specs.pop_back();
    model.compile({.loss = [](const Tensor& y, const Tensor&) { return y; }, .inputs = specs});
    const std::string path = testing::TempDir() + "generate_test_" + config.kind + ".fovea";
    model.save(path);
    file = load(path);
    weights = {file.tensors.begin(), file.tensors.end()};
  }
};

std::vector<models::NetworkConfig> networks() {
  return {{.kind = "translator", .vocab = 23, .dim = 16, .heads = 2, .hidden = 24, .layers = 2, .length = 64},
          {.kind = "gru-translator", .vocab = 23, .dim = 12}};
}

// The whole network run anew for every token.
class WholeDecoder : public StepDecoder {
 public:
  WholeDecoder(const Saved& saved, const Array& source)
      : predict_(GraphEntry::make(saved.file.module, "predict", saved.weights)) {
    const int64_t length = source.dim(1);
    for (int64_t r = 0; r < source.dim(0); ++r) {
      const auto* ids = source.data<int32_t>() + r * length;
      rows_.push_back({{ids, ids + length}, {}});
    }
  }
  Array step(std::span<const int32_t> tokens, std::span<const int64_t> from) override {
    std::vector<Row> next;
    for (size_t i = 0; i < tokens.size(); ++i) {
      next.push_back(rows_.at(static_cast<size_t>(from.empty() ? static_cast<int64_t>(i) : from[i])));
      next.back().target.push_back(tokens[i]);
    }
    rows_ = std::move(next);
    std::vector<int32_t> source, target;
    for (const Row& r : rows_) {
      source.insert(source.end(), r.source.begin(), r.source.end());
      target.insert(target.end(), r.target.begin(), r.target.end());
    }
    const auto n = static_cast<int64_t>(rows_.size());
    const Array logits =
        predict_.run({Array::of(source, {n, static_cast<int64_t>(rows_[0].source.size())}),
                      Array::of(target, {n, static_cast<int64_t>(rows_[0].target.size())})})[0];
    const int64_t vocab = logits.dim(2), last = logits.dim(1) - 1;
    Array out(DType::f32, {n, vocab});
    for (int64_t r = 0; r < n; ++r) {
      double total = 0;
      for (int64_t v = 0; v < vocab; ++v) total += std::exp(logits.at({r, last, v}));
      for (int64_t v = 0; v < vocab; ++v)
        out.set_flat(r * vocab + v, logits.at({r, last, v}) - std::log(total));
    }
    return out;
  }

 private:
  struct Row {
    std::vector<int32_t> source, target;
  };
  GraphEntry predict_;
  std::vector<Row> rows_;
};

// Caches, capacities that grow, rows that move: nothing of it may show.
TEST(GraphDecoder, StepsAgreeWithTheWholeNetwork) {
  const Array source =
      Array::of(std::vector<int32_t>{5, 6, 7, 3, 9, 3, 0, 0, 12, 20, 3, 0, 4, 4, 4, 3}, {4, 4});
  for (const models::NetworkConfig& config : networks()) {
    const Saved saved(config);
    const DecoderGraphs graphs(saved.file.module, saved.weights);
    GraphDecoder stepped(graphs, {source});
    WholeDecoder whole(saved, source);
    data::Random random(1, 2);
    size_t rows = 4;
    for (int step = 0; step < 36; ++step) {  // beyond the first two capacities
      std::vector<int64_t> from;
      if (step % 3 == 2) {
        const size_t next = step % 2 ? 6 : 3;
        for (size_t i = 0; i < next; ++i) from.push_back(static_cast<int64_t>(random.below(rows)));
        rows = next;
      }
      std::vector<int32_t> tokens(rows);
      for (int32_t& t : tokens) t = static_cast<int32_t>(random.below(23));
      const Array got = stepped.step(tokens, from), want = whole.step(tokens, from);
      ASSERT_EQ(got.shape(), want.shape());
      for (int64_t i = 0; i < got.size(); ++i)
        ASSERT_NEAR(got.get_flat(i), want.get_flat(i), 2e-4)
            << config.kind << ", step " << step << ", element " << i;
    }
  }
}

TEST(GraphDecoder, NllIsTheSumOverLabels) {
  const Array source = Array::of(std::vector<int32_t>{5, 6, 3, 9, 3, 0}, {2, 3}),
              target = Array::of(std::vector<int32_t>{2, 8, 9, 2, 7, 0}, {2, 3}),
              labels = Array::of(std::vector<int32_t>{8, 9, 3, 7, 3, 0}, {2, 3});
  for (const models::NetworkConfig& config : networks()) {
    const Saved saved(config);
    const Array logits =
        GraphEntry::make(saved.file.module, "predict", saved.weights).run({source, target})[0];
    double want = 0;
    for (int64_t b = 0; b < 2; ++b)
      for (int64_t t = 0; t < 3; ++t) {
        const auto label = static_cast<int64_t>(labels.at({b, t}));
        if (label == 0) continue;
        double total = 0;
        for (int64_t v = 0; v < 23; ++v) total += std::exp(logits.at({b, t, v}));
        want += std::log(total) - logits.at({b, t, label});
      }
    const double got =
        GraphEntry::make(saved.file.module, "nll", saved.weights).run({source, target, labels})[0].item();
    EXPECT_NEAR(got, want, 1e-3) << config.kind;
  }
}

TEST(GraphDecoder, AttentionIsADistributionOverRealTokens) {
  const Array source = Array::of(std::vector<int32_t>{5, 6, 3, 9, 3, 0}, {2, 3}),
              target = Array::of(std::vector<int32_t>{2, 8, 9, 4, 2, 7, 0, 0}, {2, 4});
  for (const models::NetworkConfig& config : networks()) {
    const Saved saved(config);
    const Array w = GraphEntry::make(saved.file.module, "attention", saved.weights).run({source, target})[0];
    const bool gru = config.kind != "translator";
    ASSERT_EQ(w.shape(), (Dims{2, gru ? 1 : 2, gru ? 1 : 2, 4, 3}));
    for (int64_t row = 0; row < w.size() / 3; ++row) {
      EXPECT_NEAR(w.get_flat(3 * row) + w.get_flat(3 * row + 1) + w.get_flat(3 * row + 2), 1, 1e-5);
      if (row >= w.size() / 6) {
        EXPECT_EQ(w.get_flat(3 * row + 2), 0) << "padding of the second source";
      }
    }
  }
}

TEST(GraphDecoder, Errors) {
  const Saved saved(networks()[0]);
  auto weights = saved.weights;
  weights.erase("param/norm_d.weight");
  try {
    DecoderGraphs(saved.file.module, weights);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(e.message().find("needs the weight 'param/norm_d.weight'"), std::string::npos) << e.what();
  }
  const DecoderGraphs graphs(saved.file.module, saved.weights);
  GraphDecoder decoder(graphs, {Array::of(std::vector<int32_t>{5, 3}, {1, 2})});
  EXPECT_THROW(decoder.step(std::vector<int32_t>{2, 2}, {}), Error);
  EXPECT_THROW(decoder.step(std::vector<int32_t>{2, 2}, std::vector<int64_t>{0, 1}), Error);
}

}  // namespace
}  // namespace fovea::nn
