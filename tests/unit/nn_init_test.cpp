// Initialisers: distributions, bounds, reproducibility.
#include "frontends/nn/init.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "frontends/nn/linear.h"

namespace fovea {
namespace {

using namespace nn;  // NOLINT

struct Moments {
  double mean, std, low, high;
};
Moments moments(const Array& a) {
  const std::vector<double> x = a.to_vector<double>();
  const double n = static_cast<double>(x.size()), mean = std::accumulate(x.begin(), x.end(), 0.0) / n;
  double square = 0;
  for (double v : x) square += (v - mean) * (v - mean);
  return {mean, std::sqrt(square / n), *std::min_element(x.begin(), x.end()),
          *std::max_element(x.begin(), x.end())};
}

TEST(Init, NormalHasItsMeanAndDeviation) {
  const Moments m = moments(init::normal(0.5, 2)(DType::f32, {200, 500}, 7));
  EXPECT_NEAR(m.mean, 2, 4 * 0.5 / std::sqrt(1e5));
  EXPECT_NEAR(m.std, 0.5, 0.006);
}

TEST(Init, UniformFillsItsRange) {
  const Moments m = moments(init::uniform(-1, 3)(DType::f32, {100000}, 7));
  EXPECT_NEAR(m.mean, 1, 0.02);
  EXPECT_NEAR(m.std, 4 / std::sqrt(12.0), 0.01);
  EXPECT_GE(m.low, -1);
  EXPECT_LT(m.high, 3);
  EXPECT_LT(m.low, -0.99);
  EXPECT_GT(m.high, 2.99);
}

TEST(Init, TruncatedNormalStaysInside) {
  const Moments m = moments(init::truncated_normal(2, 1)(DType::f32, {100000}, 3));
  EXPECT_GT(m.low, -3);
  EXPECT_LT(m.high, 5);
  EXPECT_NEAR(m.std, 2 * 0.8796, 0.02);  // deviation of a normal cut at two deviations
  EXPECT_THROW(init::truncated_normal(1, 0, 9, 10), Error);
}

TEST(Init, VarianceFollowsTheFans) {
  const Dims weight = {64, 32, 3, 3};  // fan in 288, fan out 576
  EXPECT_EQ(init::fans_of(weight).in, 288);
  EXPECT_EQ(init::fans_of(weight).out, 576);
  EXPECT_NEAR(moments(init::xavier_normal()(DType::f32, weight, 1)).std, std::sqrt(2.0 / 864), 0.001);
  EXPECT_LE(moments(init::xavier_uniform(2)(DType::f32, weight, 1)).high, 2 * std::sqrt(6.0 / 864));
  EXPECT_NEAR(moments(init::xavier_uniform(2)(DType::f32, weight, 1)).std, 2 * std::sqrt(2.0 / 864), 0.002);
  EXPECT_NEAR(moments(init::kaiming_normal()(DType::f32, weight, 1)).std, std::sqrt(2.0 / 288), 0.002);
  EXPECT_NEAR(moments(init::kaiming_uniform(1, init::Fan::out)(DType::f32, weight, 1)).std,
              std::sqrt(1.0 / 576), 0.001);
  EXPECT_THROW(init::xavier_normal()(DType::f32, {5}, 1), Error);
}

TEST(Init, OrthogonalRowsOrColumns) {
  for (const Dims& shape : {Dims{7, 4}, Dims{4, 7}, Dims{5, 2, 3}}) {
    const Array w = init::orthogonal(3)(DType::f64, shape, 5).reshape({shape[0], -1});
    const bool tall = w.dim(0) > w.dim(1);
    const Array q = tall ? w.transpose(0, 1) : w;
    for (int64_t i = 0; i < q.dim(0); ++i)
      for (int64_t j = 0; j < q.dim(0); ++j) {
        double dot = 0;
        for (int64_t k = 0; k < q.dim(1); ++k) dot += q.at({i, k}) * q.at({j, k});
        EXPECT_NEAR(dot, i == j ? 9 : 0, 1e-12);
      }
  }
}

TEST(Init, SeedsDecideTheValues) {
  Linear a(8, 8), b(8, 8);
  a.initialise(11);
  b.initialise(11);
  EXPECT_EQ(a.weight.value().to_vector<float>(), b.weight.value().to_vector<float>());
  b.initialise(12);
  EXPECT_NE(a.weight.value().to_vector<float>(), b.weight.value().to_vector<float>());
  EXPECT_NE(a.weight.value().to_vector<float>()[0], a.bias.value().to_vector<float>()[0]);
}

TEST(Init, LinearStartsWithinOneOverRootOfItsInputs) {
  Linear l(400, 300);
  l.initialise(1);
  for (const Parameter& p : {l.weight, l.bias}) {
    const Moments m = moments(p.value());
    EXPECT_LE(m.high, 0.05);
    EXPECT_GE(m.low, -0.05);
    EXPECT_NEAR(m.std, 0.05 / std::sqrt(3.0), 0.003);
  }
}

TEST(Init, WrongTypeIsAnError) { EXPECT_THROW(init::normal()(DType::i64, {3}, 1), Error); }

}  // namespace
}  // namespace fovea
