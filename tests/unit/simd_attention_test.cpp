// Attention's rows of scores against long double: probabilities from the largest to those that round to 0,
// rows that end within a vector, and values that are not finite.
#include <gtest/gtest.h>

#include <algorithm>

#include "ops/shared/simd/attention.h"
#include "tests/unit/simd_test_util.h"

namespace fovea {
namespace {

using namespace simd_test;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr int64_t kRows = 27, kMostKeys = 67, kRow = 128;  // a row of a buffer holds whole panels

// Scores from the lowest that count up to `high`; of `strange` ones about every fourth.
std::vector<float> scores(double high, const std::vector<float>& strange, unsigned seed) {
  auto x = uniform_values<float>(kRows * kRow, -112, high, seed);
  std::mt19937 engine(seed);
  for (float& v : x)
    if (engine() % 4 == 0) v = strange[engine() % strange.size()];
  return x;
}

struct Ranges {
  Ranges(int64_t keys, bool given) {
    for (int64_t r = 0; r < kRows; ++r) {
      begin.push_back(given ? static_cast<int32_t>(r % 3 * keys / 5) : 0);
      end.push_back(static_cast<int32_t>(given ? keys - r % 4 * keys / 9 : keys));
    }
    if (given) both = {begin.data(), end.data()};
  }
  bool inside(int64_t r, int64_t j) const {
    const auto n = static_cast<size_t>(r);
    return j >= begin[n] && j < end[n];
  }
  std::vector<int32_t> begin, end;
  simd::KeyRanges both;
};

TEST(SimdAttention, ProbabilitiesOfTheGradientAreExactWithinAnUlp) {
  const std::vector<float> strange{-kInf, -3e38f, -1e9f, -104.5f, -104, -103.9f, -87.5f, 0,
                                   64,    64.5f,  80,    88.5f,   95,   200,     kInf,   std::nanf("5")};
  for_each_target([&] {
    for (double high : {0.0, 88.0})
      for (int64_t keys = 1; keys <= kMostKeys; ++keys) {
        const bool low = high == 0;  // only the lower half of the strange ones
        const Ranges ranges(keys, keys % 2 == 1);
        const auto x = scores(high, low ? std::vector(strange.begin(), strange.begin() + 8) : strange, 3);
        auto p = x, dp = std::vector<float>(x.size());
        std::vector<float> zeros(kRows), term(kRows);
        simd::GradientRows<float> state{zeros.data(), zeros.data(), term.data(), {}};
        simd::attention_kernels<float>().gradient(ranges.both, kRows, keys, 1, {}, {p.data(), kRow},
                                                  {dp.data(), kRow}, state);
        for (int64_t r = 0; r < kRows; ++r)
          for (int64_t j = 0; j < keys; ++j) {
            const auto at = static_cast<size_t>(r * kRow + j);
            const long double want = ranges.inside(r, j) ? expl(x[at]) : 0;
            ASSERT_LE(ulps(p[at], want), 1.5) << x[at] << ", key " << j << " of " << keys;
          }
      }
  });
}

TEST(SimdAttention, SoftmaxKeepsSmallProbabilitiesAndTotals) {
  const std::vector<float> strange{-kInf, -3e38f, -1e9f, -104.5f, -104, -103.9f, -87.5f, 0};
  for_each_target([&] {
    for (int64_t keys = 1; keys <= kMostKeys; ++keys) {
      const Ranges ranges(keys, keys % 2 == 1);
      const auto x = scores(0, strange, 4);
      auto p = x;
      std::vector<float> top(kRows, -kInf), correction(kRows);
      std::vector<double> total(kRows);
      simd::attention_kernels<float>().softmax(ranges.both, kRows, keys, 1, {}, {}, {p.data(), kRow},
                                               {top.data(), total.data(), correction.data()});
      for (int64_t r = 0; r < kRows; ++r) {
        const auto row = static_cast<size_t>(r), first = static_cast<size_t>(r * kRow);
        float highest = -kInf;
        for (int64_t j = 0; j < keys; ++j)
          if (ranges.inside(r, j)) highest = std::max(highest, x[first + static_cast<size_t>(j)]);
        ASSERT_EQ(top[row], highest) << keys;
        long double sum = 0;
        for (int64_t j = ranges.begin[row]; j < ranges.end[row]; ++j) {
          const auto at = first + static_cast<size_t>(j);
          const float rest = x[at] - (highest == -kInf ? 0 : highest);
          ASSERT_LE(ulps(p[at], expl(rest)), 1.5) << rest << ", key " << j << " of " << keys;
          sum += expl(rest);
        }
        ASSERT_NEAR(total[row], static_cast<double>(sum), 1e-6 * static_cast<double>(sum)) << keys;
      }
    }
  });
}

TEST(SimdAttention, FiniteSeesEveryValue) {
  for_each_target([] {
    const auto& kernels = simd::attention_kernels<float>();
    for (int64_t vectors = 1; vectors <= 9; ++vectors) {
      const int64_t columns = vectors * kernels.lanes, rows = 2;
      std::vector<float> x(static_cast<size_t>(rows * columns), 3e38f);
      EXPECT_TRUE(kernels.finite(rows, columns, {x.data(), columns}));
      for (float& v : x)
        for (float bad : {kInf, -kInf, std::nanf("")}) {
          v = bad;
          EXPECT_FALSE(kernels.finite(rows, columns, {x.data(), columns})) << columns;
          v = -3e38f;
        }
    }
  });
}

}  // namespace
}  // namespace fovea
