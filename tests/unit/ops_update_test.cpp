// Ops of optimisers: steps against the formulas, and updates in place.
#include "tests/unit/ops_nn_test_util.h"

namespace fovea {
namespace {

using namespace test;

TEST(Adam, ThreeStepsOfTheFormula) {
  for (bool decoupled : {false, true}) {
    Values p = random_values(70, -1, 1, 1), m(70, 0.0), v(70, 0.0);
    Tensor tp = Array::of(p, {70}).cast(DType::f32), tm = zeros({70}), tv = zeros({70});
    for (int step = 1; step <= 3; ++step) {
      const Values g = random_values(70, -1, 1, static_cast<uint32_t>(step + 10));
      for (size_t i = 0; i < 70; ++i) {
        double grad = 0.5 * g[i];
        if (decoupled)
          p[i] -= 0.1 * 0.01 * p[i];
        else
          grad += 0.01 * p[i];
        m[i] = 0.9 * m[i] + 0.1 * grad;
        v[i] = 0.99 * v[i] + 0.01 * grad * grad;
        p[i] -= 0.1 / (1 - std::pow(0.9, step)) * m[i] /
                (std::sqrt(v[i]) / std::sqrt(1 - std::pow(0.99, step)) + 1e-6);
      }
      const AdamResult out = adam_update(
          tp, Array::of(g, {70}).cast(DType::f32), tm, tv, scalar(0.1), Array::scalar<int64_t>(step),
          {.beta2 = 0.99, .eps = 1e-6, .weight_decay = 0.01, .decoupled = decoupled}, scalar(0.5));
      tp = out.param, tm = out.m, tv = out.v;
      expect_near(tp, p, 3e-6);
      expect_near(tm, m, 1e-6);
      expect_near(tv, v, 1e-6);
    }
  }
}

TEST(Sgd, ThreeStepsOfTheFormula) {
  for (bool nesterov : {false, true}) {
    const double dampening = nesterov ? 0 : 0.5;
    Values p = random_values(20, -1, 1, 1), u(20, 0.0);
    Tensor tp = Array::of(p, {20}).cast(DType::f32), tu = zeros({20});
    for (int step = 1; step <= 3; ++step) {
      const Values g = random_values(20, -1, 1, static_cast<uint32_t>(step + 10));
      for (size_t i = 0; i < 20; ++i) {
        const double grad = g[i] + 0.01 * p[i];
        u[i] = step == 1 ? grad : 0.9 * u[i] + (1 - dampening) * grad;
        p[i] -= 0.1 * (nesterov ? grad + 0.9 * u[i] : u[i]);
      }
      const SgdResult out =
          sgd_update(tp, Array::of(g, {20}).cast(DType::f32), scalar(0.1),
                     {.momentum = 0.9, .dampening = dampening, .weight_decay = 0.01, .nesterov = nesterov},
                     tu, scalar(step));
      tp = out.param, tu = out.velocity;
      expect_near(tp, p, 1e-6);
      expect_near(tu, u, 1e-6);
    }
  }
}

TEST(Adam, DonatedStateGivesEqualBits) {
  const int64_t n = 50000;
  const auto fn = [](const std::vector<Tensor>& in) {
    const AdamResult r = adam_update(in[0], in[1], in[2], in[3], in[4], in[5]);
    return std::vector<Tensor>{r.param, r.m, r.v};
  };
  const auto inputs = [&] {
    return std::vector<Tensor>{random_tensor({n}, 1, DType::f32),
                               random_tensor({n}, 2, DType::f32),
                               random_tensor({n}, 3, DType::f32),
                               random_tensor({n}, 4, DType::f32, 0, 1),
                               scalar(0.01),
                               scalar(2)};
  };
  const auto plain = compile(fn)(inputs());
  CompileOptions options;
  options.donate = {{0, 0}, {2, 1}, {3, 2}};
  const auto donated = compile(fn, options)(inputs());
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(values(plain[static_cast<size_t>(i)]), values(donated[static_cast<size_t>(i)]));
}

TEST(GlobalNorm, OverTensorsOfDifferentShapes) {
  const Tensor a = random_tensor({300, 500}, 1, DType::f32), b = random_tensor({7}, 2, DType::bf16);
  double total = 0;
  for (double v : values(a)) total += v * v;
  for (double v : values(b)) total += v * v;
  expect_near(global_norm({a, b}), {std::sqrt(total)}, 1e-7);
  expect_near(ema_update(ones({2}), zeros({2}), 0.75), {0.75, 0.75}, 0);
}

}  // namespace
}  // namespace fovea
