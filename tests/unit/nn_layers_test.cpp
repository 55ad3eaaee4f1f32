// Layers against hand computations.
#include "frontends/nn/layers.h"

#include "graph/ir/op.h"
#include "nn_test_util.h"
#include "ops/core/sum/sum.h"

namespace fovea {
namespace {

using namespace nn;    // NOLINT
using namespace test;  // NOLINT

std::vector<std::string> names(const nn::Module& m) {
  std::vector<std::string> out;
  for (const NamedParameter& p : m.parameters()) out.push_back(p.name);
  return out;
}

TEST(Layers, LinearIsARowTimesTheWeightPlusBias) {
  Linear l(2, 3);
  l.weight.set_value(Array::of<float>({1, 2, 3, 4, 5, 6}, {3, 2}));
  l.bias.set_value(Array::of<float>({10, 20, 30}, {3}));
  EXPECT_EQ(l(Array::of<float>({1, -1}, {1, 2})).array().to_vector<float>(), (std::vector<float>{9, 19, 29}));
  EXPECT_EQ(names(l), (std::vector<std::string>{"weight", "bias"}));
  EXPECT_EQ(names(Linear(2, 3, false)), (std::vector<std::string>{"weight"}));
  EXPECT_NE(error_of([] { Linear(0, 3); }).find("Linear: in is 0"), std::string::npos);
}

TEST(Layers, EmbeddingLooksUpRowsAndScoresThem) {
  Embedding e(3, 2);
  e.weight.set_value(Array::of<float>({1, 2, 3, 4, 5, 6}, {3, 2}));
  EXPECT_EQ(e(Array::of<int64_t>({2, 0}, {2})).array().to_vector<float>(), (std::vector<float>{5, 6, 1, 2}));
  EXPECT_EQ(e.logits(Array::of<float>({1, 1}, {1, 2})).array().to_vector<float>(),
            (std::vector<float>{3, 7, 11}));
  EXPECT_THROW(e(Array::of<int64_t>({3}, {1})), Error);
}

TEST(Layers, SequentialNamesItsStepsByNumber) {
  Sequential net(
      Linear(2, 2), Relu(), [](const Arg& x) { return sum(x, {1}); }, Identity());
  EXPECT_EQ(names(net), (std::vector<std::string>{"0.weight", "0.bias"}));
  net.parameter("0.weight").set_value(Array::of<float>({1, 0, 0, -1}, {2, 2}));
  net.parameter("0.bias").set_value(Array::of<float>({0, 0}, {2}));
  EXPECT_EQ(net(Array::of<float>({3, 5}, {1, 2})).array().to_vector<float>(), (std::vector<float>{3}));
}

TEST(Layers, NodesCarryTheModulesPathAndTheUsersLine) {
  struct Net : nn::Module {
    Sequential layers{Sequential(Linear(2, 2), Relu())};
    Net() {
      layers = {};
      layers.push_back(Sequential(Linear(2, 2), Relu()));
      add("layers", layers);
    }
    Tensor operator()(const Arg& x) const {
      const ModuleScope scope(*this, x.source);
      return layers(x);
    }
  } net;
  const auto module = trace([&](const std::vector<Tensor>& in) { return std::vector{net(in[0])}; },
                            {{DType::f32, {sym("B"), 2}}});
  std::vector<std::string> seen;
  for (const Node& n : module->function("main").nodes)
    if (n.op->name() == "linear" || n.op->name() == "relu") {
      seen.push_back(module->scopes[n.scope]);
      EXPECT_NE(std::string(n.source.file).find("nn_layers_test"), std::string::npos) << n.source.file;
    }
  EXPECT_EQ(seen, (std::vector<std::string>{"layers.0.0", "layers.0.1"}));
}

TEST(Layers, LayerNormAndRMSNorm) {
  const double a[] = {1, 2, 4, 9};
  double mean = 4, var = 0, square = 0;
  for (double v : a) var += (v - mean) * (v - mean) / 4, square += v * v / 4;
  const Array x = Array::of<float>({1, 2, 4, 9}, {1, 4});
  const Tensor layer = LayerNorm(4)(x), rms = RMSNorm(4)(x);
  for (int64_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(layer.array().get_flat(i), (a[i] - mean) / std::sqrt(var + 1e-5), 1e-5);
    EXPECT_NEAR(rms.array().get_flat(i), a[i] / std::sqrt(square + 1e-6), 1e-5);
  }
}

TEST(Layers, BatchNormUsesTheBatchInTrainingAndMovesTheRunningValues) {
  BatchNorm1d norm(1);
  const Array x = Array::of<float>({1, 2, 6}, {3, 1});  // mean 3, variance 14/3, of the population 7
  {
    const Scope scope(true);
    const Tensor y = norm(x);
    for (int64_t i = 0; i < 3; ++i)
      EXPECT_NEAR(y.array().get_flat(i), (x.get_flat(i) - 3) / std::sqrt(14.0 / 3 + 1e-5), 1e-5);
    EXPECT_NEAR(scope.current(norm.running_mean).item(), 0.3, 1e-6);
    EXPECT_NEAR(scope.current(norm.running_var).item(), 0.9 + 0.7, 1e-6);
  }
  norm.running_mean.set_value(Array::of<float>({2}, {1}));
  norm.running_var.set_value(Array::of<float>({4}, {1}));
  EXPECT_NEAR(norm(x).array().get_flat(2), 4 / std::sqrt(4 + 1e-5), 1e-5);
}

TEST(Layers, DropoutDropsInTrainingOnly) {
  const Dropout drop(0.25);
  const Array x = Array::full(DType::f32, {4000}, 3);
  EXPECT_EQ(drop(x).array().to_vector<float>(), x.to_vector<float>());
  const Scope scope(true, Array::of<int64_t>({5, 1}, {2}));
  const std::vector<float> a = drop(x).array().to_vector<float>(), b = drop(x).array().to_vector<float>();
  int64_t kept = 0;
  for (float v : a) {
    EXPECT_TRUE(v == 0 || std::abs(v - 4) < 1e-5) << v;
    kept += v != 0;
  }
  EXPECT_NEAR(static_cast<double>(kept), 3000, 4 * std::sqrt(4000 * 0.25 * 0.75));
  EXPECT_NE(a, b) << "each call draws anew";
  EXPECT_THROW(Dropout(1.0), Error);
}

TEST(Layers, DropoutWithoutAKeyIsAnError) {
  const Scope scope(true);
  EXPECT_NE(error_of([] { Dropout(0.5)(Array::full(DType::f32, {2}, 1)); }).find("key"), std::string::npos);
}

TEST(Layers, ActivationsByName) {
  const Array x = Array::of<float>({-1, 2}, {2});
  EXPECT_EQ(Activation("relu")(x).array().to_vector<float>(), (std::vector<float>{0, 2}));
  EXPECT_NEAR(Activation("gelu")(x).array().get_flat(1), 2 * 0.5 * std::erfc(-std::sqrt(2.0)), 1e-6);
  EXPECT_NE(error_of([] { Activation("rleu"); }).find("relu, gelu"), std::string::npos);
}

TEST(Layers, SinusoidsFollowTheirFormula) {
  const Array table = sinusoid(5, 4);
  for (int64_t p = 0; p < 5; ++p)
    for (int64_t i = 0; i < 4; ++i) {
      const double angle = static_cast<double>(p) * std::pow(10000.0, -static_cast<double>(i / 2 * 2) / 4);
      EXPECT_NEAR(table.at({p, i}), i % 2 == 0 ? std::sin(angle) : std::cos(angle), 1e-6);
    }
  const Tensor rows = position_rows(table, 2, Array::scalar<int64_t>(3));
  expect_near(rows.array(), table.slice(0, 3, 5), 0);
  EXPECT_THROW(sinusoid(5, 3), Error);
}

TEST(Layers, LearnedPositionsAddTheirFirstRows) {
  LearnedPositions p(4, 3);
  const auto out = run_traced([&](const std::vector<Tensor>& in) { return std::vector{p(in[0])}; },
                              {{DType::f32, {sym("B"), sym("L"), 3}}}, {Array::zeros(DType::f32, {2, 3, 3})});
  expect_near(out[0].slice(0, 1, 2).reshape({3, 3}), p.weight.value().slice(0, 0, 3), 1e-7);
}

TEST(Layers, ConvolutionsByHand) {
  // One channel, a 2x2 kernel of ones: sums of 2x2 windows.
  Conv2d conv(1, 1, 2);
  conv.weight.set_value(Array::full(DType::f32, {1, 1, 2, 2}, 1));
  conv.bias.set_value(Array::of<float>({0.5}, {1}));
  const Array x = Array::of<float>({1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 1, 3, 3});
  EXPECT_EQ(conv(x).array().to_vector<float>(), (std::vector<float>{12.5, 16.5, 24.5, 28.5}));

  Conv1d row(1, 1, 3, {.stride = 2, .padding = 1, .bias = false});
  row.weight.set_value(Array::of<float>({1, 10, 100}, {1, 1, 3}));
  EXPECT_EQ(row(Array::of<float>({1, 2, 3, 4}, {1, 1, 4})).array().to_vector<float>(),
            (std::vector<float>{210, 432}));

  // Each element spreads its kernel; stride 2 leaves no overlap.
  ConvTranspose2d up(1, 1, 2, {.stride = 2, .bias = false});
  up.weight.set_value(Array::of<float>({1, 2, 3, 4}, {1, 1, 2, 2}));
  EXPECT_EQ(up(Array::of<float>({1, 10}, {1, 1, 1, 2})).array().to_vector<float>(),
            (std::vector<float>{1, 2, 10, 20, 3, 4, 30, 40}));
}

}  // namespace
}  // namespace fovea
