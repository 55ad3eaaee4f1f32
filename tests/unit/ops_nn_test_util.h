// What the tests of neural-network ops share: random operands, and rows by formulas in plain double loops.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "frontends/cpp/fovea.h"
#include "tests/support/errors.h"

namespace fovea::test {

using Values = std::vector<double>;

inline Values random_values(int64_t n, double low, double high, uint32_t seed) {
  std::mt19937 rng(seed);
  std::uniform_real_distribution<double> u(low, high);
  Values v(static_cast<size_t>(n));
  for (double& x : v) x = u(rng);
  return v;
}
inline Tensor random_tensor(Dims shape, uint32_t seed, DType dtype = DType::f64, double low = -1,
                            double high = 1) {
  return Array::of(random_values(product(shape), low, high, seed), shape).cast(dtype);
}
inline Tensor labels_of(std::vector<int64_t> v) {
  const auto n = static_cast<int64_t>(v.size());
  return Array::of(v, {n});
}
inline Values values(const Tensor& t) { return t.array().to_vector<double>(); }

inline std::vector<Tensor> on(const std::string& backend, const Function& fn, const std::vector<Tensor>& in) {
  CompileOptions options;
  options.backend = backend;
  return compile(fn, options)(in);
}

inline void expect_near(const Tensor& got, const Values& want, double tolerance,
                        const std::string& what = "") {
  const Values have = values(got);
  ASSERT_EQ(have.size(), want.size()) << what;
  for (size_t i = 0; i < have.size(); ++i) {
    if (std::isnan(want[i]))
      EXPECT_TRUE(std::isnan(have[i])) << what << " element " << i;
    else
      EXPECT_NEAR(have[i], want[i], tolerance * (1 + std::abs(want[i]))) << what << " element " << i;
  }
}

// Rows of x [rows, n] through f, which maps one row to another.
inline Values by_rows(const Values& x, size_t n, const std::function<Values(const Values&)>& f) {
  Values out;
  for (size_t r = 0; r < x.size() / n; ++r) {
    const Values y =
        f(Values(x.begin() + static_cast<long>(r * n), x.begin() + static_cast<long>((r + 1) * n)));
    out.insert(out.end(), y.begin(), y.end());
  }
  return out;
}
inline double log_sum_exp(const Values& x) {
  double sum = 0;
  for (double v : x) sum += std::exp(v);
  return std::log(sum);
}
inline Values softmax_row(const Values& x) {
  Values y;
  for (double v : x) y.push_back(std::exp(v - log_sum_exp(x)));
  return y;
}
inline Values log_softmax_row(const Values& x) {
  Values y;
  for (double v : x) y.push_back(v - log_sum_exp(x));
  return y;
}
inline Values normal_row(const Values& x, double eps, bool centre) {
  double mean = 0, var = 0;
  if (centre)
    for (double v : x) mean += v / static_cast<double>(x.size());
  for (double v : x) var += (v - mean) * (v - mean) / static_cast<double>(x.size());
  Values y;
  for (double v : x) y.push_back((v - mean) / std::sqrt(var + eps));
  return y;
}

}  // namespace fovea::test
