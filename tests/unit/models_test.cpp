// The models: parameters as PyTorch names them, masks, decoding step by step, one trace for every size.
#include <gtest/gtest.h>

#include "frontends/models/bert.h"
#include "frontends/models/gpt.h"
#include "frontends/models/gru_translator.h"
#include "frontends/models/resnet20.h"
#include "frontends/models/translator.h"
#include "frontends/models/vit.h"
#include "frontends/models/workloads.h"
#include "nn_test_util.h"
#include "ops/core/full/full.h"

namespace fovea {
namespace {

using namespace models;  // NOLINT
using namespace test;    // NOLINT

Dims shape_of(const nn::Module& m, const std::string& name) { return m.parameter(name).shape(); }

// The counts and names are those of the PyTorch twins.
TEST(Models, ParameterCounts) {
  EXPECT_EQ(Translator().parameter_count(), 7578624);
  EXPECT_EQ(Gpt().parameter_count(), 10770816);
  EXPECT_EQ(Bert().parameter_count(), 11005952);
  EXPECT_EQ(Vit().parameter_count(), 2684554);
  EXPECT_EQ(ResNet20().parameter_count(), 272186);
  EXPECT_EQ(GruTranslator().parameter_count(), 14136640);
}

TEST(Models, ParameterNames) {
  EXPECT_EQ(shape_of(Translator(), "decoder.2.cross_attn.v.weight"), (Dims{256, 256}));
  EXPECT_EQ(shape_of(Translator(), "encoder.0.up.weight"), (Dims{1024, 256}));
  EXPECT_EQ(shape_of(Translator(), "pos"), (Dims{512, 256}));
  EXPECT_EQ(shape_of(Gpt(), "blocks.5.norm3.bias"), (Dims{384}));
  EXPECT_EQ(shape_of(Bert(), "pos.weight"), (Dims{128, 256}));
  EXPECT_EQ(shape_of(Vit(), "patch.weight"), (Dims{192, 1, 4, 4}));
  EXPECT_EQ(shape_of(Vit(), "cls"), (Dims{1, 1, 192}));
  EXPECT_EQ(shape_of(ResNet20(), "net.6.short.0.weight"), (Dims{32, 16, 1, 1}));
  EXPECT_EQ(shape_of(ResNet20(), "net.11.b2.running_var"), (Dims{64}));
  EXPECT_EQ(shape_of(GruTranslator(), "encoder.weight_hh_l0_reverse"), (Dims{768, 256}));
  EXPECT_EQ(shape_of(GruTranslator(), "wk.weight"), (Dims{256, 512}));
  EXPECT_EQ(shape_of(GruTranslator(), "cell.weight_ih"), (Dims{768, 768}));
}

Translator tiny_translator() {
  Translator t({.vocab = 50, .dim = 16, .heads = 2, .hidden = 32, .layers = 2, .dropout = 0.1, .length = 16});
  t.initialise(5);
  return t;
}

Array keep_rows(const std::vector<int64_t>& lengths, int64_t length) {
  Array keep(DType::boolean, {static_cast<int64_t>(lengths.size()), length});
  for (int64_t i = 0; i < keep.size(); ++i) keep.data<bool>()[i] = i % length < lengths[i / length];
  return keep;
}

Array with_token(const Array& ids, int64_t row, int64_t at, int64_t token) {
  Array changed = ids.copy();
  changed.set_flat(row * ids.dim(1) + at, static_cast<double>(token));
  return changed;
}

TEST(Translator, LaterTargetTokensDoNotChangeEarlierLogits) {
  const Translator t = tiny_translator();
  const Array src = ids({2, 5}, 1, 50), keep = keep_rows({5, 3}, 5), tgt = ids({2, 6}, 2, 50);
  const Array a = t(src, keep, tgt).array(), b = t(src, keep, with_token(tgt, 0, 3, 7)).array();
  expect_near(b.slice(1, 0, 3), a.slice(1, 0, 3), 1e-6);
  EXPECT_GT(std::abs(a.at({0, 3, 0}) - b.at({0, 3, 0})), 1e-5);
}

TEST(Translator, PaddedSourceTokensDoNotMatter) {
  const Translator t = tiny_translator();
  const Array src = ids({2, 5}, 1, 50), keep = keep_rows({5, 3}, 5), tgt = ids({2, 4}, 2, 50);
  const Array a = t(src, keep, tgt).array(), b = t(with_token(src, 1, 4, 9), keep, tgt).array(),
              c = t(with_token(src, 1, 2, 9), keep, tgt).array();
  expect_near(b, a, 1e-6);
  EXPECT_GT(std::abs(a.at({1, 0, 0}) - c.at({1, 0, 0})), 1e-5);
}

TEST(Translator, StepsGiveTheLogitsOfTheWholeTarget) {
  const Translator t = tiny_translator();
  const Array src = ids({2, 5}, 1, 50), keep = keep_rows({5, 3}, 5), tgt = ids({2, 6}, 2, 50);
  const Array full = t(src, keep, tgt).array();
  const auto cross = t.start(src, keep);
  auto caches = t.caches(2, 8);
  for (int64_t i = 0; i < 6; ++i) {
    const Tensor logits = t.step(tgt.slice(1, i, i + 1).reshape({2}), Array::scalar(i), cross, keep, caches);
    expect_near(logits.array(), full.slice(1, i, i + 1).reshape({2, 50}), 1e-5, "step " + std::to_string(i));
  }
  EXPECT_THROW(t.step(tgt.slice(1, 0, 1).reshape({2}), Array::scalar<int64_t>(8), cross, keep, caches),
               Error);
}

// The compiled step: caches go in and come out, and keep their memory where they are donated.
TEST(Translator, CompiledStepUpdatesDonatedCachesInPlace) {
  const Translator t = tiny_translator();
  const Array src = ids({2, 5}, 1, 50), keep = keep_rows({5, 3}, 5), tgt = ids({2, 4}, 2, 50);
  const Array full = t(src, keep, tgt).array();
  std::vector<Array> cross;
  for (const auto& kv : t.start(src, keep))
    cross.push_back(kv.keys.array()), cross.push_back(kv.values.array());
  const auto pairs = [](const std::vector<Tensor>& in, size_t first) {
    return std::vector<nn::KeyValue>{{in[first], in[first + 1]}, {in[first + 2], in[first + 3]}};
  };
  const Function step = [&](const std::vector<Tensor>& in) {
    auto caches = pairs(in, 7);
    std::vector<Tensor> out = {t.step(in[0], in[1], pairs(in, 3), in[2], caches)};
    for (const auto& kv : caches) out.push_back(kv.keys), out.push_back(kv.values);
    return out;
  };
  const Dim b = sym("B");
  std::vector<Spec> specs = {{DType::i64, {b}}, {DType::i64, {}}, {DType::boolean, {b, sym("S")}}};
  for (int i = 0; i < 4; ++i) specs.push_back({DType::f32, {b, 2, sym("S"), 8}});
  for (int i = 0; i < 4; ++i) specs.push_back({DType::f32, {b, 2, sym("C"), 8}});
  CompileOptions options;
  for (int i = 0; i < 4; ++i) options.donate.push_back({7 + i, 1 + i});
  Program program(trace(step, specs), "main", options);
  std::vector<Array> caches(4);
  for (Array& c : caches) c = Array::zeros(DType::f32, {2, 2, 8, 8});
  const void* memory = caches[0].raw();
  for (int64_t i = 0; i < 4; ++i) {
    std::vector<Array> in = {tgt.slice(1, i, i + 1).reshape({2}).contiguous(), Array::scalar(i), keep};
    in.insert(in.end(), cross.begin(), cross.end());
    in.insert(in.end(), caches.begin(), caches.end());
    caches.clear();
    std::vector<Array> out = program.run(in);
    expect_near(out[0], full.slice(1, i, i + 1).reshape({2, 50}), 1e-5, "step " + std::to_string(i));
    caches.assign(out.begin() + 1, out.end());
    EXPECT_EQ(caches[0].raw(), memory) << "step " << i;
  }
}

TEST(Translator, OneTraceServesEverySize) {
  const Translator t = tiny_translator();
  const Dim b = sym("B");
  Program program(
      trace([&](const std::vector<Tensor>& in) { return std::vector{t(in[0], in[1], in[2])}; },
            {{DType::i64, {b, sym("S")}}, {DType::boolean, {b, sym("S")}}, {DType::i64, {b, sym("T")}}}),
      "main");
  for (const auto& [batch, s, l] : {std::tuple{1, 3, 5}, {3, 5, 2}}) {
    const Array src = ids({batch, s}, 1, 50), keep = keep_rows(std::vector<int64_t>(batch, s - 1), s),
                tgt = ids({batch, l}, 2, 50);
    expect_near(program.run({src, keep, tgt})[0], t(src, keep, tgt).array(), 1e-5);
  }
  EXPECT_THROW(program.run({ids({1, 3}, 1, 50), keep_rows({3}, 3), ids({1, 17}, 1, 50)}), Error)
      << "longer than the table of positions";
}

TEST(Gpt, IsCausalAndStepsAgree) {
  Gpt g({.vocab = 17, .dim = 16, .heads = 2, .layers = 2, .length = 12});
  g.initialise(2);
  const Array x = ids({2, 7}, 3, 17), full = g(x).array();
  expect_near(g(with_token(x, 1, 5, 4)).array().slice(1, 0, 5), full.slice(1, 0, 5), 1e-6);
  auto caches = g.caches(2, 12);
  expect_near(g.step(x.slice(1, 0, 4).contiguous(), Array::scalar<int64_t>(0), caches).array(),
              full.slice(1, 0, 4), 1e-5);
  for (int64_t i = 4; i < 7; ++i)
    expect_near(g.step(x.slice(1, i, i + 1).contiguous(), Array::scalar(i), caches).array(),
                full.slice(1, i, i + 1), 1e-5);
}

TEST(Bert, IgnoresPaddingAndLooksBothWays) {
  Bert m({.vocab = 40, .dim = 16, .heads = 2, .layers = 2, .length = 8});
  m.initialise(2);
  const Array x = ids({2, 6}, 3, 40), keep = keep_rows({6, 4}, 6), full = m(x, keep).array();
  expect_near(m(with_token(x, 1, 5, 4), keep).array().slice(1, 0, 5), full.slice(1, 0, 5), 1e-6);
  EXPECT_GT(std::abs(m(with_token(x, 1, 3, 4), keep).array().at({1, 0, 0}) - full.at({1, 0, 0})), 1e-6);
}

TEST(GruTranslator, StepsAgreeAndAttentionSumsToOne) {
  GruTranslator m({.vocab = 30, .dim = 8});
  m.initialise(2);
  const Array src = ids({2, 5}, 3, 30), tgt = ids({2, 4}, 4, 30), full = m(src, tgt).array();
  auto e = m.encode(src);
  for (int64_t i = 0; i < 4; ++i) {
    Tensor weights;
    const Tensor logits =
        m.step(tgt.slice(1, i, i + 1).reshape({2}), e.memory, e.keys, e.state, {}, &weights);
    expect_near(logits.array(), full.slice(1, i, i + 1).reshape({2, 30}), 1e-5);
    double total = 0;
    for (int64_t j = 0; j < 5; ++j) total += weights.array().at({1, j});
    EXPECT_NEAR(total, 1, 1e-6);
  }
  const auto scanned =
      run_traced([&](const std::vector<Tensor>& in) { return std::vector{m(in[0], in[1])}; },
                 {{DType::i64, {sym("B"), sym("S")}}, {DType::i64, {sym("B"), sym("T")}}}, {src, tgt});
  expect_near(scanned[0], full, 1e-5);
}

TEST(ResNet20, BatchesOfAnySizeAndImagesOfAnySide) {
  ResNet20 m({.channels = 1, .width = 4, .units = 1});
  m.initialise(2);
  const Array x = normal({3, 1, 8, 8}, 1);
  const auto run = [&](const Array& images, const Shape& shape) {
    return run_traced([&](const std::vector<Tensor>& in) { return std::vector{m(in[0])}; },
                      {{DType::f32, shape}}, {images})[0];
  };
  const Array all = run(x, {sym("B"), 1, 8, 8});
  expect_near(run(x.slice(0, 1, 2).contiguous(), {sym("B"), 1, 8, 8}), all.slice(0, 1, 2), 1e-5);
  expect_near(run(x, {sym("B"), 1, sym("H"), sym("W")}), all, 1e-5);
}

TEST(Vit, PatchesKeepTheirPlace) {
  Vit m({.dim = 12, .heads = 2, .layers = 1, .patch = 4, .side = 8});
  m.initialise(2);
  const Array x = normal({2, 1, 8, 8}, 1), y = m(x).array();
  EXPECT_EQ(y.shape(), (Dims{2, 10}));
  EXPECT_NE(error_of([] { Vit({.patch = 5}); }).find("side 28 is not a multiple of the patch 5"),
            std::string::npos);
}

// The gradient of each workload's loss along a random direction against a difference quotient.
class Workloads : public testing::TestWithParam<std::string> {};

TEST_P(Workloads, GradientsAgreeWithDifferences) {
  const Workload w = make_workload(GetParam(), 3, WorkloadSize::tiny);
  const Batch batch = w.make_batch(1);
  std::vector<nn::Parameter> parameters;
  std::vector<Tensor> values;
  for (const auto& p : w.model->parameters())
    if (p.parameter.trainable()) parameters.push_back(p.parameter), values.push_back(p.parameter.value());
  const auto loss = [&](const std::vector<Tensor>& in) {
    nn::Scope scope(true, Array::of<int64_t>({7, 1}, {2}));
    for (size_t i = 0; i < parameters.size(); ++i) scope.bind(parameters[i], in[i]);
    std::vector<Tensor> inputs(batch.inputs.begin(), batch.inputs.end());
    return std::vector{w.loss(w.forward(inputs), batch.labels)};
  };
  std::vector<int64_t> wrt(parameters.size());
  for (size_t i = 0; i < wrt.size(); ++i) wrt[i] = static_cast<int64_t>(i);
  const auto result = compile(value_and_grad(loss, wrt))(values);
  EXPECT_GT(result[0].item(), 0);
  // Along d = gradient / |gradient| the slope is |gradient|.
  double square = 0;
  for (size_t i = 1; i < result.size(); ++i)
    for (double g : result[i].array().to_vector<double>()) square += g * g;
  ASSERT_GT(square, 0);
  const double h = 1e-3 / std::sqrt(square);
  const auto moved = [&](double by) {
    std::vector<Tensor> at;
    for (size_t i = 0; i < values.size(); ++i) {
      Array v = values[i].array().copy();
      const std::vector<double> g = result[i + 1].array().to_vector<double>();
      for (int64_t j = 0; j < v.size(); ++j) v.data<float>()[j] += static_cast<float>(by * g[j]);
      at.emplace_back(v);
    }
    return at;
  };
  const Function plain = compile(loss);
  const double slope = (plain(moved(h))[0].item() - plain(moved(-h))[0].item()) / (2 * h);
  EXPECT_NEAR(slope / square, 1, 0.002);
}

TEST_P(Workloads, BatchesFollowTheSeed) {
  const Workload w = make_workload(GetParam(), 0, WorkloadSize::tiny);
  EXPECT_EQ(w.make_batch(1).labels.to_vector<int64_t>(), w.make_batch(1).labels.to_vector<int64_t>());
  EXPECT_NE(w.make_batch(1).labels.to_vector<int64_t>(), w.make_batch(2).labels.to_vector<int64_t>());
}

INSTANTIATE_TEST_SUITE_P(All, Workloads, testing::ValuesIn(workload_names()), [](const auto& at) {
  std::string name = at.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(WorkloadNames, UnknownListsTheKnown) {
  EXPECT_NE(error_of([] { make_workload("translater"); }).find("translator, gpt-char"), std::string::npos);
}

}  // namespace
}  // namespace fovea
