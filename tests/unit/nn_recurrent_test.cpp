// Recurrent layers against plain loops in double precision.
#include "frontends/nn/recurrent.h"

#include "nn_test_util.h"
#include "ops/core/mul/mul.h"
#include "ops/core/sum/sum.h"

namespace fovea {
namespace {

using namespace nn;    // NOLINT
using namespace test;  // NOLINT

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

struct Weights {
  Array wi, wh, bi, bh;
};

// One sequence x [L][in] from state zero; gates as PyTorch documents them. Returns h of every step.
std::vector<std::vector<double>> reference(const Weights& w, bool lstm,
                                           const std::vector<std::vector<double>>& x, bool reverse) {
  const int64_t hidden = w.wh.dim(1);
  std::vector<double> h(hidden, 0), c(hidden, 0);
  std::vector<std::vector<double>> out(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t t = reverse ? x.size() - 1 - i : i;
    const auto from_x = [&](int64_t row) {
      double s = w.bi.get_flat(row);
      for (size_t k = 0; k < x[t].size(); ++k) s += w.wi.at({row, static_cast<int64_t>(k)}) * x[t][k];
      return s;
    };
    const auto from_h = [&](int64_t row) {
      double s = w.bh.get_flat(row);
      for (int64_t k = 0; k < hidden; ++k) s += w.wh.at({row, k}) * h[k];
      return s;
    };
    std::vector<double> next(hidden);
    for (int64_t j = 0; j < hidden; ++j) {
      const auto gate = [&](int64_t g) { return from_x(g * hidden + j) + from_h(g * hidden + j); };
      if (lstm) {
        c[j] = logistic(gate(1)) * c[j] + logistic(gate(0)) * std::tanh(gate(2));
        next[j] = logistic(gate(3)) * std::tanh(c[j]);
      } else {
        const double r = logistic(gate(0)), z = logistic(gate(1));
        const double n = std::tanh(from_x(2 * hidden + j) + r * from_h(2 * hidden + j));
        next[j] = (1 - z) * n + z * h[j];
      }
    }
    out[t] = h = next;
  }
  return out;
}

Weights weights_of(const nn::Module& m, const std::string& suffix) {
  const auto get = [&](const char* name) { return m.parameter(name + suffix).value(); };
  return {get("weight_ih"), get("weight_hh"), get("bias_ih"), get("bias_hh")};
}

std::vector<std::vector<double>> sequence(const Array& x, int64_t b) {
  std::vector<std::vector<double>> out(x.dim(1), std::vector<double>(x.dim(2)));
  for (int64_t t = 0; t < x.dim(1); ++t)
    for (int64_t k = 0; k < x.dim(2); ++k) out[t][k] = x.at({b, t, k});
  return out;
}

template <class Layer>
void check_bidirectional(bool lstm) {
  Layer layer(3, 2, {.layers = 2, .bidirectional = true});
  layer.initialise(4);
  const Array x = normal({2, 5, 3}, 1);
  const RecurrentResult got = layer(x);
  ASSERT_EQ(got.h.size(), 4u);
  EXPECT_EQ(got.c.size(), lstm ? 4u : 0u);
  for (int64_t b = 0; b < 2; ++b) {
    auto in = sequence(x, b);
    for (int l = 0; l < 2; ++l) {
      const std::string name = "_l" + std::to_string(l);
      const auto forward = reference(weights_of(layer, name), lstm, in, false);
      const auto backward = reference(weights_of(layer, name + "_reverse"), lstm, in, true);
      for (size_t t = 0; t < in.size(); ++t) {
        in[t] = forward[t];
        in[t].insert(in[t].end(), backward[t].begin(), backward[t].end());
      }
      for (int64_t j = 0; j < 2; ++j) {
        EXPECT_NEAR(got.h[2 * l].array().at({b, j}), forward.back()[j], 1e-5);
        EXPECT_NEAR(got.h[2 * l + 1].array().at({b, j}), backward.front()[j], 1e-5);
      }
    }
    for (int64_t t = 0; t < 5; ++t)
      for (int64_t j = 0; j < 4; ++j) EXPECT_NEAR(got.output.array().at({b, t, j}), in[t][j], 1e-5);
  }
}

TEST(Recurrent, GRUBidirectionalTwoLayers) { check_bidirectional<GRU>(false); }
TEST(Recurrent, LSTMBidirectionalTwoLayers) { check_bidirectional<LSTM>(true); }

TEST(Recurrent, CellsAreOneStep) {
  GRUCell gru(3, 2);
  LSTMCell lstm(3, 2);
  gru.initialise(1);
  lstm.initialise(2);
  const Array x = normal({1, 3}, 5);
  const std::vector<std::vector<double>> one = {{x.get_flat(0), x.get_flat(1), x.get_flat(2)}};
  const Tensor zero = Array::zeros(DType::f32, {1, 2});
  const auto g = reference(weights_of(gru, ""), false, one, false),
             l = reference(weights_of(lstm, ""), true, one, false);
  for (int64_t j = 0; j < 2; ++j) {
    EXPECT_NEAR(gru(x, zero).array().get_flat(j), g[0][j], 1e-6);
    EXPECT_NEAR(lstm(x, {zero, zero}).h.array().get_flat(j), l[0][j], 1e-6);
  }
}

// A length that is a symbol runs through scan and must agree, gradient included.
template <class Layer>
void check_scan() {
  Layer layer(3, 4, {.layers = 1, .bidirectional = true});
  layer.initialise(9);
  const Array x = normal({2, 6, 3}, 2);
  const Function loss = [&](const std::vector<Tensor>& in) {
    const Tensor y = layer(in[0]).output;
    return std::vector<Tensor>{sum(y * y * y)};
  };
  const auto unrolled = run_traced(value_and_grad(loss), {{DType::f32, {2, 6, 3}}}, {x});
  const auto scanned = run_traced(value_and_grad(loss), {{DType::f32, {sym("B"), sym("L"), 3}}}, {x});
  expect_near(scanned[0], unrolled[0], 1e-5, "loss");
  expect_near(scanned[1], unrolled[1], 1e-5, "gradient");
}
TEST(Recurrent, GRUScanEqualsUnrolled) { check_scan<GRU>(); }
TEST(Recurrent, LSTMScanEqualsUnrolled) { check_scan<LSTM>(); }

TEST(Recurrent, WrongRankIsAnError) {
  EXPECT_NE(error_of([] { GRU(2, 2)(Array::zeros(DType::f32, {3, 2})); }).find("[3, 2]"), std::string::npos);
}

}  // namespace
}  // namespace fovea
