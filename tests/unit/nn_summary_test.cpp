// The model table and the count of operations.
#include "frontends/nn/summary.h"

#include "frontends/nn/flops.h"
#include "frontends/nn/layers.h"
#include "nn_test_util.h"
#include "ops/composite/linear/linear.h"
#include "ops/composite/softmax/softmax.h"
#include "ops/core/add/add.h"
#include "ops/core/matmul/matmul.h"
#include "ops/core/mul/mul.h"

namespace fovea {
namespace {

using namespace nn;    // NOLINT
using namespace test;  // NOLINT

struct Mlp : nn::Module {
  Linear up{3, 5}, down{5, 2, false};
  Relu act;
  Mlp() {
    add("up", up);
    add("act", act);
    add("down", down);
  }
  Tensor operator()(const Arg& x) const { return down(act(up(x))); }
};

TEST(Summary, RowsOfAPerceptron) {
  const Mlp net;
  const Summary s = summary(net, [&](const std::vector<Tensor>& in) { return std::vector{net(in[0])}; },
                            {{DType::f32, {sym("B"), 3}}}, {{"B", 4}});
  ASSERT_EQ(s.rows.size(), 4u);
  const auto expect = [](const SummaryRow& r, const std::string& path, const std::string& output,
                         int64_t parameters, int64_t flops, int64_t bytes) {
    EXPECT_EQ(r.path, path);
    EXPECT_EQ(r.output, output);
    EXPECT_EQ(r.parameters, parameters) << path;
    EXPECT_EQ(r.flops, flops) << path;
    EXPECT_EQ(r.bytes, bytes) << path;
  };
  const int64_t up = 4 * 5 * (2 * 3 + 1), act = 4 * 5, down = 4 * 2 * 2 * 5;
  expect(s.rows[0], "", "f32[B, 2]", 30, up + act + down, 4 * (20 + 20 + 8));
  expect(s.rows[1], "up", "f32[B, 5]", 20, up, 80);
  expect(s.rows[2], "act", "f32[B, 5]", 0, act, 80);
  expect(s.rows[3], "down", "f32[B, 2]", 10, down, 32);
  EXPECT_NE(s.str().find("down    f32[B, 2]"), std::string::npos) << s.str();
}

TEST(Summary, AnUnboundSymbolIsAnError) {
  const Mlp net;
  EXPECT_NE(error_of([&] {
              summary(net, [&](const std::vector<Tensor>& in) { return std::vector{net(in[0])}; },
                      {{DType::f32, {sym("B"), 3}}});
            }).find("B"),
            std::string::npos);
}

int64_t count(const Function& fn, const std::vector<Spec>& specs) {
  const auto module = trace(fn, specs);
  return nn::flops(*module, module->function("main"), {});
}

TEST(Flops, Contractions) {
  EXPECT_EQ(count([](auto& in) { return std::vector{matmul(in[0], in[1])}; },
                  {{DType::f32, {7, 2, 3}}, {DType::f32, {3, 5}}}),
            7 * 2 * 5 * 2 * 3);
  const Conv2d conv(4, 6, 3, {.stride = 2, .padding = 1, .groups = 2, .bias = false});
  EXPECT_EQ(count([&](auto& in) { return std::vector{conv(in[0])}; }, {{DType::f32, {2, 4, 8, 8}}}),
            2 * 6 * 4 * 4 * 2 * (2 * 9));
  const ConvTranspose2d up(4, 6, 2, {.stride = 2, .bias = false});
  EXPECT_EQ(count([&](auto& in) { return std::vector{up(in[0])}; }, {{DType::f32, {2, 4, 8, 8}}}),
            2 * 4 * 8 * 8 * 2 * (6 * 4));
}

TEST(Flops, ContractionsAlone) {
  const auto fn = [](const std::vector<Tensor>& in) {
    return std::vector{linear(in[0], in[1], in[2]) + 1.0};
  };
  const std::vector<Spec> specs{{DType::f32, {7, 3}}, {DType::f32, {5, 3}}, {DType::f32, {5}}};
  const auto module = trace(fn, specs);
  EXPECT_EQ(nn::contraction_flops(*module, module->function("main"), {}), 7 * 5 * 2 * 3);
  EXPECT_EQ(nn::flops(*module, module->function("main"), {}), 7 * 5 * (2 * 3 + 2));
}

TEST(Flops, CompositesCountAsTheirDecomposition) {
  // max, x - max, exp, sum, division: five an element, give or take the reductions' last steps.
  EXPECT_EQ(count([](auto& in) { return std::vector{softmax(in[0])}; }, {{DType::f32, {3, 10}}}), 5 * 30);
}

TEST(Flops, AScanCountsItsBodyOnceAStep) {
  const GRU gru(3, 4);
  const auto at = [&](int64_t length) {
    return count([&](auto& in) { return std::vector{gru(in[0]).output}; }, {{DType::f32, {2, length, 3}}});
  };
  EXPECT_EQ(at(200) - at(100), at(400) / 4);
  const int64_t products = 2 * 12 * 2 * (3 + 4);  // one step: both linear layers of two rows
  EXPECT_GT(at(100), 100 * products);
  EXPECT_LT(at(100), 100 * (products + 2 * 4 * 3 * 20));
}

}  // namespace
}  // namespace fovea
