// Optimiser sweeps against double arithmetic; gather and scatter-add.
#include <gtest/gtest.h>

#include "ops/shared/simd/gather.h"
#include "ops/shared/simd/optimizer.h"
#include "tests/unit/simd_test_util.h"

namespace fovea {
namespace {

using namespace simd_test;

TEST(SimdOptimizer, SgdFollowsItsFormula) {
  for_each_target([] {
    for (size_t n : {1, 5, 16, 33, 200}) {
      for (bool nesterov : {false, true}) {
        simd::SgdArgs args{0.1, 0.9, 0.01, nesterov, 0.5};
        auto p = uniform_values<float>(n, -1, 1, 1);
        std::vector<double> want(p.begin(), p.end()), velocity(n, 0);
        std::vector<float> v(n, 0);
        std::vector<bf16_t> shadow(n);
        for (int step = 0; step < 4; ++step) {
          const auto g = uniform_values<float>(n, -2, 2, static_cast<unsigned>(step) + 2);
          ASSERT_TRUE(simd::sgd_update(args, p.data(), g.data(), DType::f32, v.data(), shadow.data(), n));
          for (size_t i = 0; i < n; ++i) {
            const double grad = g[i] * 0.5 + 0.01 * want[i];
            velocity[i] = 0.9 * velocity[i] + grad;
            want[i] -= 0.1 * (nesterov ? grad + 0.9 * velocity[i] : velocity[i]);
          }
        }
        for (size_t i = 0; i < n; ++i) {
          EXPECT_NEAR(p[i], want[i], 1e-6);
          EXPECT_EQ(shadow[i].bits, bf16_t(p[i]).bits);
        }
      }
    }
    float p = 1;
    const float g = 2;
    simd::sgd_update({.lr = 0.25}, &p, &g, DType::f32, nullptr, nullptr, 1);
    EXPECT_EQ(p, 0.5f);
    EXPECT_FALSE(simd::sgd_update({}, &p, &g, DType::f16, nullptr, nullptr, 1));
  });
}

TEST(SimdOptimizer, AdamFollowsItsFormula) {
  for_each_target([] {
    for (bool decoupled : {false, true}) {
      const size_t n = 77;
      auto p = uniform_values<float>(n, -1, 1, 1);
      auto half = p;
      std::vector<double> want(p.begin(), p.end()), m(n, 0), v(n, 0);
      std::vector<float> m32(n, 0), v32(n, 0), mh(n, 0), vh(n, 0);
      for (int64_t step = 1; step <= 5; ++step) {
        auto g = uniform_values<float>(n, -2, 2, static_cast<unsigned>(step) + 20);
        for (auto& x : g)
          x = static_cast<float>(bf16_t(x));  // so that both gradient types hold the same values
        std::vector<bf16_t> g16;
        for (float x : g) g16.push_back(bf16_t(x));
        const simd::AdamArgs args{0.01, 0.9, 0.99, 1e-8, 0.1, decoupled, step, 0.25};
        ASSERT_TRUE(
            simd::adam_update(args, p.data(), g.data(), DType::f32, m32.data(), v32.data(), nullptr, n));
        ASSERT_TRUE(
            simd::adam_update(args, half.data(), g16.data(), DType::bf16, mh.data(), vh.data(), nullptr, n));
        for (size_t i = 0; i < n; ++i) {
          double grad = g[i] * 0.25;
          if (decoupled) {
            want[i] *= 1 - 0.01 * 0.1;
          } else {
            grad += 0.1 * want[i];
          }
          m[i] = 0.9 * m[i] + 0.1 * grad;
          v[i] = 0.99 * v[i] + 0.01 * grad * grad;
          const double c1 = 1 - std::pow(0.9, step), c2 = 1 - std::pow(0.99, step);
          want[i] -= 0.01 / c1 * m[i] / (std::sqrt(v[i]) / std::sqrt(c2) + 1e-8);
        }
      }
      for (size_t i = 0; i < n; ++i) {
        EXPECT_NEAR(p[i], want[i], 2e-6);
        EXPECT_NEAR(m32[i], m[i], 1e-6);
        EXPECT_NEAR(v32[i], v[i], 1e-6);
        EXPECT_EQ(half[i], p[i]);
      }
    }
  });
}

TEST(SimdOptimizer, CutsDoNotChangeBits) {
  for_each_target([] {
    const size_t n = 1000;
    const auto start = uniform_values<float>(n, -1, 1, 1), g = uniform_values<float>(n, -1, 1, 2);
    auto whole = start, cut = start;
    std::vector<float> m(n, 0.1f), v(n, 0.2f), mc = m, vc = v;
    const simd::AdamArgs args{.weight_decay = 0.1, .step = 3};
    simd::adam_update(args, whole.data(), g.data(), DType::f32, m.data(), v.data(), nullptr, n);
    for (size_t at = 0, len = 1; at < n; at += len, len = std::min(n - at, len * 2 + 1))
      simd::adam_update(args, cut.data() + at, g.data() + at, DType::f32, mc.data() + at, vc.data() + at,
                        nullptr, std::min(len, n - at));
    EXPECT_EQ(whole, cut);
    EXPECT_EQ(m, mc);
    EXPECT_EQ(v, vc);
  });
}

TEST(SimdOptimizer, EmaAndSumSquares) {
  for_each_target([] {
    for (size_t n : {1, 7, 16, 100}) {
      auto a = uniform_values<float>(n, -1, 1, 1);
      const auto before = a, x = uniform_values<float>(n, -1, 1, 2);
      simd::ema_update(a.data(), x.data(), 0.9, n);
      double sum = 0;
      for (size_t i = 0; i < n; ++i) {
        EXPECT_NEAR(a[i], 0.9 * before[i] + 0.1 * x[i], 2e-7);
        sum += static_cast<double>(x[i]) * x[i];
      }
      EXPECT_NEAR(simd::sum_squares(x.data(), DType::f32, n), sum, 1e-5);
    }
    EXPECT_EQ(simd::sum_squares(nullptr, DType::f32, 0), 0);
    EXPECT_TRUE(std::isnan(simd::sum_squares(nullptr, DType::i32, 0)));
    const float bad[] = {1, HUGE_VALF, 2};
    EXPECT_TRUE(std::isinf(simd::sum_squares(bad, DType::f32, 3)));
  });
}

template <class I>
void check_gather() {
  const size_t rows = 9, cols = 21;
  const auto table = uniform_values<float>(rows * cols, -1, 1, 1);
  std::vector<I> index = {3, 0, 8, 3, 3, 1};
  std::vector<float> out(index.size() * cols);
  EXPECT_EQ(simd::gather_rows(table.data(), rows, cols * sizeof(float), index.data(), dtype_of<I>,
                              index.size(), out.data()),
            -1);
  for (size_t i = 0; i < index.size(); ++i)
    for (size_t c = 0; c < cols; ++c)
      EXPECT_EQ(out[i * cols + c], table[static_cast<size_t>(index[i]) * cols + c]);

  std::vector<float> sums(rows * cols, 1.0f), cut = sums, want = sums;
  for (size_t i = 0; i < index.size(); ++i)
    for (size_t c = 0; c < cols; ++c) want[static_cast<size_t>(index[i]) * cols + c] += out[i * cols + c];
  EXPECT_EQ(simd::scatter_add_rows(DType::f32, out.data(), index.data(), dtype_of<I>, index.size(),
                                   sums.data(), rows, cols, 0, cols),
            -1);
  EXPECT_EQ(sums, want);
  for (size_t c = 0; c < cols; c += 5)
    simd::scatter_add_rows(DType::f32, out.data(), index.data(), dtype_of<I>, index.size(), cut.data(), rows,
                           cols, c, std::min(cols, c + 5));
  EXPECT_EQ(cut, want);

  index[4] = 9;
  EXPECT_EQ(simd::gather_rows(table.data(), rows, cols * sizeof(float), index.data(), dtype_of<I>,
                              index.size(), out.data()),
            4);
  index[2] = -1;
  EXPECT_EQ(simd::scatter_add_rows(DType::f32, out.data(), index.data(), dtype_of<I>, index.size(),
                                   sums.data(), rows, cols, 0, cols),
            2);
  EXPECT_EQ(sums, want);  // nothing was written
  EXPECT_EQ(simd::scatter_add_rows(DType::i32, out.data(), index.data(), dtype_of<I>, 0, sums.data(), rows,
                                   cols, 0, cols),
            -2);
}
TEST(SimdGather, RowsAndSums) {
  for_each_target([] {
    check_gather<int32_t>();
    check_gather<int64_t>();
  });
}

}  // namespace
}  // namespace fovea
