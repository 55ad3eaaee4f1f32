// Normalisation against long double and, for the backward passes, numeric derivatives.
#include <gtest/gtest.h>

#include <functional>

#include "ops/shared/simd/norm.h"
#include "tests/unit/simd_test_util.h"

namespace fovea {
namespace {

using namespace simd_test;
using L = long double;
using Row = std::vector<L>;

constexpr double kEpsilon = 1e-5;

template <class T>
constexpr double kTolerance = std::is_same_v<T, double> ? 1e-13 : 3e-6;

Row widen(const auto* x, size_t n) { return Row(x, x + n); }

Row exact_norm(const Row& x, const Row& gamma, const Row& beta, bool centred) {
  L mean = 0, square = 0;
  if (centred)
    for (L v : x) mean += v / static_cast<L>(x.size());
  for (L v : x) square += (v - mean) * (v - mean) / static_cast<L>(x.size());
  Row y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = (x[i] - mean) / sqrtl(square + kEpsilon) * gamma[i] + beta[i];
  return y;
}

// d/dx[at] of sum g y(x)
L slope(Row x, size_t at, const std::function<L(const Row&)>& f) {
  const L h = 1e-5L, keep = x[at];
  x[at] = keep + h;
  const L up = f(x);
  x[at] = keep - h;
  return (up - f(x)) / (2 * h);
}

template <class T>
void check_rows(bool centred) {
  const auto& k = *simd::norm_kernels(dtype_of<T>);
  for (size_t n : {1, 2, 7, 16, 17, 33, 64, 67, 300, 1030}) {
    const size_t rows = 3;
    const auto x = uniform_values<T>(rows * n, 3, 7, 1), g = uniform_values<T>(rows * n, -1, 1, 2);
    const auto gamma = uniform_values<T>(n, 0.5, 2, 3), beta = uniform_values<T>(n, -1, 1, 4);
    const Row wide_gamma = widen(gamma.data(), n);
    const Row wide_beta = centred ? widen(beta.data(), n) : Row(n);
    std::vector<T> y(rows * n), mean(rows), rstd(rows), dx(rows * n), dgamma(n), dbeta(n);
    if (centred) {
      k.layer_norm(x.data(), gamma.data(), beta.data(), y.data(), mean.data(), rstd.data(), rows, n,
                   kEpsilon);
      k.layer_norm_backward(g.data(), x.data(), gamma.data(), mean.data(), rstd.data(), dx.data(),
                            dgamma.data(), dbeta.data(), rows, n);
    } else {
      k.rms_norm(x.data(), gamma.data(), y.data(), rstd.data(), rows, n, kEpsilon);
      k.rms_norm_backward(g.data(), x.data(), gamma.data(), rstd.data(), dx.data(), dgamma.data(), rows, n);
    }
    Row want_dgamma(n), want_dbeta(n);
    const Row ones(n, 1), zeros(n, 0);
    for (size_t r = 0; r < rows; ++r) {
      const Row row = widen(x.data() + r * n, n), grad = widen(g.data() + r * n, n);
      const Row want = exact_norm(row, wide_gamma, wide_beta, centred);
      const Row xhat = exact_norm(row, ones, zeros, centred);
      // With few values the deviations are small against the mean, so rounding of x - mean shows.
      const double scale = static_cast<double>(rstd[r]) * 8;
      for (size_t i = 0; i < n; ++i) {
        EXPECT_NEAR(y[r * n + i], static_cast<double>(want[i]), kTolerance<T> * (2 + scale)) << "n " << n;
        want_dgamma[i] += grad[i] * xhat[i];
        want_dbeta[i] += grad[i];
      }
      if (scale > 100) continue;  // a constant row: the derivative is a difference of huge numbers
      for (size_t i = 0; i < n; i += 1 + n / 7) {
        const L wanted = slope(row, i, [&](const Row& at) {
          const Row out = exact_norm(at, wide_gamma, wide_beta, centred);
          L sum = 0;
          for (size_t j = 0; j < n; ++j) sum += grad[j] * out[j];
          return sum;
        });
        EXPECT_NEAR(dx[r * n + i], static_cast<double>(wanted), (kTolerance<T> + 1e-9) * (2 + scale * scale))
            << "n " << n;
      }
    }
    for (size_t i = 0; i < n; ++i) {
      EXPECT_NEAR(dgamma[i], static_cast<double>(want_dgamma[i]),
                  kTolerance<T> * (6 + static_cast<double>(rstd[0]) * 8));
      if (centred) {
        EXPECT_NEAR(dbeta[i], static_cast<double>(want_dbeta[i]), kTolerance<T> * 6);
      }
    }
  }
}
TEST(SimdNorm, LayerNorm) {
  for_each_target([] {
    check_rows<float>(true);
    check_rows<double>(true);
  });
}
TEST(SimdNorm, RmsNorm) {
  for_each_target([] {
    check_rows<float>(false);
    check_rows<double>(false);
  });
}

// The sum and its norm at once give what an addition and the norm alone give, bit for bit; in the way back
// the residual's gradient is added. Results may lie over operands.
template <class T>
void check_residual(bool centred) {
  const auto& k = *simd::norm_kernels(dtype_of<T>);
  for (size_t n : {1, 7, 16, 33, 67, 300}) {
    const size_t rows = 3;
    const auto x = uniform_values<T>(rows * n, 3, 7, 1), branch = uniform_values<T>(rows * n, -1, 1, 2);
    const auto gamma = uniform_values<T>(n, 0.5, 2, 3), beta = uniform_values<T>(n, -1, 1, 4);
    std::vector<T> y(rows * n), z(rows * n), mean(rows), rstd(rows);
    for (size_t i = 0; i < y.size(); ++i) y[i] = x[i] + branch[i];
    const void* shift = centred ? beta.data() : nullptr;
    if (centred) {
      k.layer_norm(y.data(), gamma.data(), shift, z.data(), mean.data(), rstd.data(), rows, n, kEpsilon);
    } else {
      k.rms_norm(y.data(), gamma.data(), z.data(), rstd.data(), rows, n, kEpsilon);
    }
    for (const bool in_place : {false, true}) {
      std::vector<T> over_x = x, over_branch = branch, other_y(rows * n), other_z(rows * n), other_mean(rows),
                     other_rstd(rows);
      simd::ResidualNormArgs a{over_x.data(),
                               over_branch.data(),
                               gamma.data(),
                               shift,
                               other_z.data(),
                               other_y.data(),
                               centred ? other_mean.data() : nullptr,
                               other_rstd.data(),
                               rows,
                               n,
                               kEpsilon,
                               centred};
      if (in_place) a.y = over_x.data(), a.z = over_branch.data();
      k.residual_norm(a);
      EXPECT_EQ(in_place ? over_x : other_y, y) << "n " << n;
      EXPECT_EQ(in_place ? over_branch : other_z, z) << "n " << n;
      EXPECT_EQ(other_mean, mean) << "n " << n;
      EXPECT_EQ(other_rstd, rstd) << "n " << n;
    }
    const auto g = uniform_values<T>(rows * n, -1, 1, 5), residual = uniform_values<T>(rows * n, -1, 1, 6);
    std::vector<T> want(rows * n), dgamma(n), dbeta(n);
    if (centred) {
      k.layer_norm_backward(g.data(), y.data(), gamma.data(), mean.data(), rstd.data(), want.data(),
                            dgamma.data(), dbeta.data(), rows, n);
    } else {
      k.rms_norm_backward(g.data(), y.data(), gamma.data(), rstd.data(), want.data(), dgamma.data(), rows, n);
    }
    for (size_t i = 0; i < want.size(); ++i) want[i] += residual[i];
    std::vector<T> over_residual = residual, other_dgamma(n), other_dbeta(n);
    k.residual_norm_backward({g.data(), y.data(), gamma.data(), centred ? mean.data() : nullptr, rstd.data(),
                              over_residual.data(), over_residual.data(), other_dgamma.data(),
                              centred ? other_dbeta.data() : nullptr, rows, n});
    EXPECT_EQ(over_residual, want) << "n " << n;
    EXPECT_EQ(other_dgamma, dgamma) << "n " << n;
    EXPECT_EQ(other_dbeta, dbeta) << "n " << n;
  }
}
TEST(SimdNorm, SumsAndNormsAtOnce) {
  for_each_target([] {
    for (const bool centred : {true, false}) {
      check_residual<float>(centred);
      check_residual<double>(centred);
    }
  });
}

TEST(SimdNorm, OptionalOperandsAndLargeOffset) {
  for_each_target([] {
    const auto& k = *simd::norm_kernels(DType::f32);
    const size_t n = 100;
    std::vector<float> x(n), y(n), z(n);
    for (size_t i = 0; i < n; ++i) x[i] = 10000.0f + static_cast<float>(i % 4);  // exact in float
    k.layer_norm(x.data(), nullptr, nullptr, y.data(), nullptr, nullptr, 1, n, 0.0);
    for (size_t i = 0; i < n; ++i)
      EXPECT_NEAR(y[i], (static_cast<double>(i % 4) - 1.5) / std::sqrt(1.25), 1e-3);  // mean rounds to 2^-10
    const std::vector<float> beta(n, 2.0f);
    k.layer_norm(x.data(), nullptr, beta.data(), z.data(), nullptr, nullptr, 1, n, 0.0);
    for (size_t i = 0; i < n; ++i) EXPECT_FLOAT_EQ(z[i], y[i] + 2.0f);
    EXPECT_EQ(simd::norm_kernels(DType::bf16), nullptr);
  });
}

template <class T>
void check_channels(size_t batch, size_t channels, size_t spatial) {
  const auto& k = *simd::norm_kernels(dtype_of<T>);
  const size_t total = batch * channels * spatial;
  const double count = static_cast<double>(batch * spatial);
  const auto x = uniform_values<T>(total, 1, 4, 5), g = uniform_values<T>(total, -1, 1, 6);
  const auto gamma = uniform_values<T>(channels, 0.5, 2, 7), beta = uniform_values<T>(channels, -1, 1, 8);
  std::vector<T> mean(channels), var(channels), rstd(channels), scale(channels), y(total), dx(total),
      dgamma(channels), dbeta(channels);
  const size_t cut = channels / 3;
  k.channel_statistics(x.data(), mean.data(), var.data(), batch, channels, spatial, 0, cut);
  k.channel_statistics(x.data(), mean.data(), var.data(), batch, channels, spatial, cut, channels);
  std::vector<T> mean_whole(channels), var_whole(channels);
  k.channel_statistics(x.data(), mean_whole.data(), var_whole.data(), batch, channels, spatial, 0, channels);
  EXPECT_EQ(mean, mean_whole);
  EXPECT_EQ(var, var_whole);
  for (size_t c = 0; c < channels; ++c) {
    rstd[c] = static_cast<T>(1 / std::sqrt(static_cast<double>(var[c]) + kEpsilon));
    scale[c] = rstd[c] * gamma[c];
  }
  k.channel_normalize(x.data(), mean.data(), scale.data(), beta.data(), y.data(), batch, channels, spatial);
  k.channel_gradients(g.data(), x.data(), mean.data(), rstd.data(), dgamma.data(), dbeta.data(), batch,
                      channels, spatial, 0, channels);
  k.batch_norm_dx(g.data(), x.data(), mean.data(), rstd.data(), gamma.data(), dgamma.data(), dbeta.data(),
                  count, dx.data(), batch, channels, spatial);
  const size_t n = batch * spatial;
  for (size_t c = 0; c < channels; ++c) {
    Row row, grad;
    for (size_t b = 0; b < batch; ++b)
      for (size_t s = 0; s < spatial; ++s) {
        row.push_back(x[(b * channels + c) * spatial + s]);
        grad.push_back(g[(b * channels + c) * spatial + s]);
      }
    const Row ones(n, 1), zeros(n, 0), gains(n, gamma[c]), shifts(n, beta[c]);
    const Row want = exact_norm(row, gains, shifts, true), xhat = exact_norm(row, ones, zeros, true);
    L want_mean = 0, want_dgamma = 0, want_dbeta = 0, spread = 0;
    for (size_t i = 0; i < n; ++i) {
      want_mean += row[i] / static_cast<L>(n);
      want_dgamma += grad[i] * xhat[i];
      want_dbeta += grad[i];
      spread += fabsl(xhat[i]);
    }
    EXPECT_NEAR(mean[c], static_cast<double>(want_mean), kTolerance<T>);
    EXPECT_NEAR(dbeta[c], static_cast<double>(want_dbeta), kTolerance<T> * count);
    EXPECT_NEAR(dgamma[c], static_cast<double>(want_dgamma), kTolerance<T> * static_cast<double>(spread + 2));
    for (size_t i = 0; i < n; i += 1 + n / 5) {
      const size_t at = (i / spatial * channels + c) * spatial + i % spatial;
      EXPECT_NEAR(y[at], static_cast<double>(want[i]), kTolerance<T> * 10);
      const L wanted = slope(row, i, [&](const Row& p) {
        const Row out = exact_norm(p, gains, shifts, true);
        L sum = 0;
        for (size_t j = 0; j < n; ++j) sum += grad[j] * out[j];
        return sum;
      });
      EXPECT_NEAR(dx[at], static_cast<double>(wanted), (kTolerance<T> + 1e-9) * 10);
    }
  }
}
TEST(SimdNorm, BatchNorm) {
  for_each_target([] {
    check_channels<float>(4, 5, 49);
    check_channels<float>(33, 37, 1);
    check_channels<double>(3, 6, 20);
    check_channels<double>(16, 11, 1);
    check_channels<float>(70, 3, 3);
  });
}

}  // namespace
}  // namespace fovea
