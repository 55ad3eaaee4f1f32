// Optimisers as training steps run them, against their papers' formulas in fp64.
#include <gtest/gtest.h>

#include <cmath>

#include "frontends/nn/init.h"
#include "frontends/nn/train_step.h"
#include "generated/ops.h"

namespace fovea::nn {
namespace {

constexpr int kSteps = 6;

// The loss sum_i x_i w_i^2 / 2 has the gradient x_i w_i.
struct Weights : Module {
  Parameter w;
  Weights() : w({3}, init::zeros()) {
    add("w", w);
    w.set_value(Array::of(std::vector<float>{1.0f, -2.0f, 0.5f}, {3}));
  }
};

std::vector<double> curvature(int step) { return {1.0 + 0.25 * step, 3.0 - 0.5 * step, -1.0}; }

std::vector<double> trained(const Optimizer& optimizer, double lr, double clip_norm,
                            const std::string& backend) {
  Weights module;
  TrainOptions options;
  options.optimizer = optimizer;
  options.clip_norm = clip_norm;
  options.compile.backend = backend;
  TrainStep step(
      module,
      [&](const std::vector<Tensor>& in) {
        return std::vector<Tensor>{sum(in[0] * module.w * module.w) * 0.5};
      },
      std::vector<Spec>{{DType::f32, {3}, "x"}}, options);
  for (int t = 1; t <= kSteps; ++t) {
    const std::vector<double> c = curvature(t);
    step({Array::of(std::vector<float>(c.begin(), c.end()), {3})}, lr);
  }
  return step.state()[0].second.to_vector<double>();
}

// update(w, g, t): one step in fp64.
std::vector<double> expected(
    const std::function<void(std::vector<double>&, const std::vector<double>&, int)>& update,
    double clip_norm) {
  std::vector<double> w{1, -2, 0.5};
  for (int t = 1; t <= kSteps; ++t) {
    std::vector<double> g = curvature(t);
    double norm = 0;
    for (size_t i = 0; i < 3; ++i) g[i] *= w[i], norm += g[i] * g[i];
    norm = std::sqrt(norm);
    if (clip_norm > 0 && norm > clip_norm)
      for (double& x : g) x *= clip_norm / norm;
    update(w, g, t);
  }
  return w;
}

void expect_same(const Optimizer& optimizer, double lr,
                 const std::function<void(std::vector<double>&, const std::vector<double>&, int)>& update) {
  for (const char* backend : {"cpu", "reference"})
    for (double clip : {0.0, 0.7}) {
      const std::vector<double> got = trained(optimizer, lr, clip, backend), want = expected(update, clip);
      for (size_t i = 0; i < 3; ++i)
        EXPECT_NEAR(got[i], want[i], 2e-6 * (1 + std::abs(want[i])))
            << backend << " clip " << clip << " at " << i;
    }
}

TEST(Optimizer, PlainSgd) {
  expect_same(Sgd{}, 0.1, [](auto& w, auto& g, int) {
    for (size_t i = 0; i < 3; ++i) w[i] -= 0.1 * g[i];
  });
}

TEST(Optimizer, SgdWithMomentumDampeningAndDecay) {
  for (double dampening : {0.0, 0.5}) {
    std::vector<double> v;
    expect_same(Sgd{.momentum = 0.9, .dampening = dampening, .weight_decay = 0.1}, 0.05,
                [&](auto& w, auto& g, int t) {
                  if (t == 1) v.assign(3, 0.0);
                  for (size_t i = 0; i < 3; ++i) {
                    const double d = g[i] + 0.1 * w[i];
                    v[i] = t == 1 ? d : 0.9 * v[i] + (1 - dampening) * d;
                    w[i] -= 0.05 * v[i];
                  }
                });
  }
}

TEST(Optimizer, NesterovSgd) {
  std::vector<double> v;
  expect_same(Sgd{.momentum = 0.8, .nesterov = true}, 0.05, [&](auto& w, auto& g, int t) {
    if (t == 1) v.assign(3, 0.0);
    for (size_t i = 0; i < 3; ++i) {
      v[i] = 0.8 * v[i] + g[i];
      w[i] -= 0.05 * (g[i] + 0.8 * v[i]);
    }
  });
}

TEST(Optimizer, AdamAndAdamW) {
  for (bool decoupled : {false, true}) {
    std::vector<double> m, v;
    auto update = [&](auto& w, auto& g, int t) {
      if (t == 1) m.assign(3, 0.0), v.assign(3, 0.0);
      for (size_t i = 0; i < 3; ++i) {
        const double d = g[i] + (decoupled ? 0 : 0.02 * w[i]);
        if (decoupled) w[i] -= 0.03 * 0.02 * w[i];
        m[i] = 0.9 * m[i] + 0.1 * d;
        v[i] = 0.98 * v[i] + 0.02 * d * d;
        w[i] -= 0.03 * (m[i] / (1 - std::pow(0.9, t))) / (std::sqrt(v[i] / (1 - std::pow(0.98, t))) + 1e-8);
      }
    };
    if (decoupled) {
      expect_same(AdamW{.beta2 = 0.98, .weight_decay = 0.02}, 0.03, update);
    } else {
      expect_same(Adam{.beta2 = 0.98, .weight_decay = 0.02}, 0.03, update);
    }
  }
}

}  // namespace
}  // namespace fovea::nn
