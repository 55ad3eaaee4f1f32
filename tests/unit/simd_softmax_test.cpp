// Softmax and cross-entropy rows against long double, numeric gradients and special rows.
#include <gtest/gtest.h>

#include <algorithm>

#include "ops/shared/simd/pointwise.h"
#include "ops/shared/simd/softmax.h"
#include "tests/unit/simd_test_util.h"

namespace fovea {
namespace {

using namespace simd_test;
using L = long double;

template <class T>
using RowValue = std::conditional_t<std::is_same_v<T, double>, double, float>;
// Relative error of a result: some ulp of the compute type plus the rounding of the stored type.
template <class T>
constexpr double kTolerance = std::is_same_v<T, double>  ? 2e-15
                              : std::is_same_v<T, float> ? 1e-6
                              : std::is_same_v<T, f16_t> ? 1e-3
                                                         : 8e-3;

template <class T>
std::vector<T> logits(size_t n, unsigned seed, double range = 6) {
  std::vector<T> x;
  for (float v : uniform_values<float>(n, -range, range, seed)) x.push_back(static_cast<T>(v));
  return x;
}

template <class T>
L exact_lse(const T* x, size_t n) {
  L max = -HUGE_VALL, sum = 0;
  for (size_t i = 0; i < n; ++i) max = std::max(max, wide(x[i]));
  for (size_t i = 0; i < n; ++i) sum += expl(wide(x[i]) - max);
  return max + logl(sum);
}

template <class T>
void check_forward() {
  const auto& k = *simd::softmax_kernels(dtype_of<T>);
  for (size_t n : {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 50, 64, 67, 129, 1000, 5003}) {
    const size_t rows = 3;
    const auto x = logits<T>(rows * n + 1, static_cast<unsigned>(n));
    const T* base = x.data() + 1;
    std::vector<T> y(rows * n), z(rows * n);
    std::vector<RowValue<T>> lse(rows);
    k.softmax(base, y.data(), rows, n);
    k.log_softmax(base, z.data(), rows, n);
    k.logsumexp(base, lse.data(), rows, n);
    for (size_t r = 0; r < rows; ++r) {
      const L exact = exact_lse(base + r * n, n);
      EXPECT_NEAR(lse[r], static_cast<double>(exact),
                  kTolerance<RowValue<T>> * (1 + std::fabs(static_cast<double>(exact))));
      for (size_t i = 0; i < n; ++i) {
        const L logp = wide(base[r * n + i]) - exact;
        const double p = static_cast<double>(expl(logp));
        // Below 2^-14 half values are subnormal: their rounding is absolute.
        EXPECT_NEAR(static_cast<double>(wide(y[r * n + i])), p,
                    kTolerance<T> * p + (sizeof(T) == 2 ? 3e-8 : 0))
            << n;
        EXPECT_NEAR(static_cast<double>(wide(z[r * n + i])), static_cast<double>(logp),
                    kTolerance<T> * (1 + std::fabs(static_cast<double>(logp))));
      }
    }
    // A row's bits do not depend on its neighbours, and in place is the same.
    std::vector<T> alone(base + n, base + 2 * n);
    k.softmax(alone.data(), alone.data(), 1, n);
    EXPECT_EQ(std::memcmp(alone.data(), y.data() + n, n * sizeof(T)), 0);
  }
}
TEST(SimdSoftmax, Forward) {
  for_each_target([] {
    check_forward<float>();
    check_forward<double>();
    check_forward<f16_t>();
    check_forward<bf16_t>();
  });
}

TEST(SimdSoftmax, SpecialRows) {
  for_each_target([] {
    const auto& k = *simd::softmax_kernels(DType::f32);
    const float inf = HUGE_VALF;
    for (size_t n : {3, 16, 37}) {
      std::vector<float> x(n, -inf), y(n);
      float lse;
      k.softmax(x.data(), y.data(), 1, n);
      for (float v : y) EXPECT_TRUE(std::isnan(v));
      k.logsumexp(x.data(), &lse, 1, n);
      EXPECT_EQ(lse, -inf);
      x[n / 2] = 3;  // one place left: weight 1 there
      k.softmax(x.data(), y.data(), 1, n);
      for (size_t i = 0; i < n; ++i) EXPECT_EQ(y[i], i == n / 2 ? 1.0f : 0.0f);
      x[0] = NAN;
      k.softmax(x.data(), y.data(), 1, n);
      for (float v : y) EXPECT_TRUE(std::isnan(v));
      k.logsumexp(x.data(), &lse, 1, n);
      EXPECT_TRUE(std::isnan(lse));
      x[0] = inf;
      k.softmax(x.data(), y.data(), 1, n);
      EXPECT_TRUE(std::isnan(y[0]));
      k.logsumexp(x.data(), &lse, 1, n);
      EXPECT_EQ(lse, inf);
      std::fill(x.begin(), x.end(), 1e30f);  // no overflow
      k.softmax(x.data(), y.data(), 1, n);
      EXPECT_NEAR(y[1], 1.0 / static_cast<double>(n), 1e-7);
    }
    EXPECT_EQ(simd::softmax_kernels(DType::i32), nullptr);
  });
}

template <class T>
void check_backward() {
  const auto& k = *simd::softmax_kernels(dtype_of<T>);
  for (size_t n : {1, 5, 16, 33, 200}) {
    const auto x = logits<double>(n, 2, 3), g = logits<double>(n, 3, 1);
    std::vector<T> y(n), logp(n), gt(n), dx(n), dz(n);
    const L lse = exact_lse(x.data(), n);
    L dot = 0, total = 0;
    for (size_t i = 0; i < n; ++i) {
      y[i] = static_cast<T>(static_cast<float>(expl(x[i] - lse)));
      logp[i] = static_cast<T>(static_cast<float>(x[i] - lse));
      gt[i] = static_cast<T>(static_cast<float>(g[i]));
      dot += wide(y[i]) * wide(gt[i]);
      total += wide(gt[i]);
    }
    k.softmax_backward(y.data(), gt.data(), dx.data(), 1, n);
    k.log_softmax_backward(logp.data(), gt.data(), dz.data(), 1, n);
    for (size_t i = 0; i < n; ++i) {
      const L want = wide(y[i]) * (wide(gt[i]) - dot), want_log = wide(gt[i]) - expl(wide(logp[i])) * total;
      EXPECT_NEAR(static_cast<double>(wide(dx[i])), static_cast<double>(want),
                  kTolerance<T> * static_cast<double>(wide(y[i])) * 3);
      EXPECT_NEAR(static_cast<double>(wide(dz[i])), static_cast<double>(want_log),
                  kTolerance<T> * (2 + std::fabs(static_cast<double>(total))));
    }
  }
}
TEST(SimdSoftmax, Backward) {
  for_each_target([] {
    check_backward<float>();
    check_backward<double>();
    check_backward<f16_t>();
    check_backward<bf16_t>();
  });
}

// The loss of one row by its definition.
L exact_loss(const std::vector<L>& x, int64_t label, double smoothing) {
  const L lse = exact_lse(x.data(), x.size());
  L all = 0;
  for (L v : x) all += lse - v;
  return (1 - smoothing) * (lse - x[static_cast<size_t>(label)]) + smoothing / static_cast<L>(x.size()) * all;
}

template <class T, class I>
void check_cross_entropy() {
  const auto& k = *simd::softmax_kernels(dtype_of<T>);
  for (size_t n : {1, 4, 16, 37, 1001}) {
    for (double smoothing : {0.0, 0.1}) {
      const size_t rows = 5;
      const auto x = logits<T>(rows * n, static_cast<unsigned>(n) + 5);
      std::vector<I> labels(rows);
      for (size_t r = 0; r < rows; ++r) labels[r] = static_cast<I>((r * 7 + n / 2) % n);
      labels[3] = -100;
      const simd::CrossEntropyArgs args{labels.data(), dtype_of<I>, -100, smoothing};
      std::vector<RowValue<T>> loss(rows), lse(rows), weight(rows);
      ASSERT_EQ(k.cross_entropy(x.data(), args, loss.data(), lse.data(), rows, n), -1);
      for (size_t r = 0; r < rows; ++r)
        weight[r] = static_cast<RowValue<T>>(0.25 * static_cast<double>(r + 1));
      std::vector<T> dx(rows * n), in_place = x;
      k.cross_entropy_backward(x.data(), args, lse.data(), weight.data(), dx.data(), rows, n);
      k.cross_entropy_backward(x.data(), args, lse.data(), weight.data(), in_place.data(), rows, n);
      EXPECT_EQ(std::memcmp(dx.data(), in_place.data(), rows * n * sizeof(T)), 0);
      for (size_t r = 0; r < rows; ++r) {
        if (r == 3) {
          EXPECT_EQ(loss[r], 0);
          for (size_t i = 0; i < n; ++i) EXPECT_EQ(wide(dx[r * n + i]), 0);
          continue;
        }
        std::vector<L> row;
        for (size_t i = 0; i < n; ++i) row.push_back(wide(x[r * n + i]));
        const L want = exact_loss(row, labels[r], smoothing);
        EXPECT_NEAR(loss[r], static_cast<double>(want),
                    kTolerance<RowValue<T>> * (2 + static_cast<double>(want)));
        for (size_t i = 0; i < n; i += 1 + n / 9) {
          auto up = row, down = row;
          up[i] += 1e-6L, down[i] -= 1e-6L;
          const L slope =
              (exact_loss(up, labels[r], smoothing) - exact_loss(down, labels[r], smoothing)) / 2e-6L;
          EXPECT_NEAR(static_cast<double>(wide(dx[r * n + i])), static_cast<double>(slope * weight[r]),
                      (kTolerance<T> + 1e-10) * weight[r]);
        }
      }
      labels[2] = static_cast<I>(n);  // first bad label of two
      labels[4] = -1;
      EXPECT_EQ(k.cross_entropy(x.data(), args, loss.data(), lse.data(), rows, n), 2);
    }
  }
}
TEST(SimdSoftmax, CrossEntropy) {
  for_each_target([] {
    check_cross_entropy<float, int64_t>();
    check_cross_entropy<float, int32_t>();
    check_cross_entropy<double, int64_t>();
    check_cross_entropy<bf16_t, int64_t>();
    check_cross_entropy<f16_t, int32_t>();
  });
}

}  // namespace
}  // namespace fovea
