// Philox words against published vectors; ranges, uniforms, normals, dropout.
#include <gtest/gtest.h>

#include <algorithm>

#include "ops/shared/simd/random.h"
#include "tests/unit/simd_test_util.h"

namespace fovea {
namespace {

using namespace simd_test;
using simd::RandomStream;

// Known answers of the Random123 distribution for Philox4x32-10.
TEST(SimdRandom, PhiloxKnownAnswers) {
  const uint32_t cases[][10] = {
      // counter, key, words
      {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
      {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e,
       0xa20bc7c6, 0x6d5451fd},
      {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb,
       0x5001e420, 0x24126ea1},
  };
  for (const auto& c : cases) {
    uint32_t out[4];
    simd::philox4x32_10(c, c + 4, out);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(out[i], c[6 + i]);
  }
}

// word(i) by the documented rule, from the bare function.
uint32_t word(const RandomStream& s, uint64_t i) {
  const auto low = [](uint64_t v) { return static_cast<uint32_t>(v); };
  const auto high = [](uint64_t v) { return static_cast<uint32_t>(v >> 32); };
  const uint32_t key[2] = {low(s.key), high(s.key)}, step[4] = {low(s.step), high(s.step), 0x65766F46u, 0};
  uint32_t step_key[4], out[4];
  simd::philox4x32_10(step, key, step_key);
  const uint32_t counter[4] = {low(i / 4), high(i / 4), low(s.ordinal), high(s.ordinal)};
  simd::philox4x32_10(counter, step_key, out);
  return out[i % 4];
}
float uniform(uint32_t w) { return static_cast<float>((w ^ 0x80000000u) >> 8) * 0x1p-24f; }

const RandomStream kStream{0x123456789ABCDEFull, 7, 0x500000003ull};

TEST(SimdRandom, AnyRangeFollowsTheRule) {
  for_each_target([] {
    // Also across the carry from the low to the high counter word.
    for (uint64_t base : {uint64_t{0}, uint64_t{5}, (uint64_t{1} << 34) - 100, ~uint64_t{0} - 5000}) {
      for (uint64_t n : {0, 1, 2, 3, 4, 5, 31, 67, 1023, 1024, 1025, 3000}) {
        std::vector<int32_t> bits(n + 1, 42);
        std::vector<float> u(n + 1, 42);
        simd::random_bits(kStream, base, base + n, bits.data());
        simd::random_uniform(kStream, base, base + n, u.data());
        for (uint64_t i = 0; i < n; ++i) {
          const uint32_t w = word(kStream, base + i);
          ASSERT_EQ(static_cast<uint32_t>(bits[i]), w) << base << " + " << i;
          ASSERT_EQ(u[i], uniform(w));
        }
        ASSERT_EQ(bits[n], 42);
        ASSERT_EQ(u[n], 42);
      }
    }
  });
}

TEST(SimdRandom, StreamsDiffer) {
  const auto first = [](const RandomStream& s) {
    int32_t w[4];
    simd::random_bits(s, 0, 4, w);
    return std::vector<int32_t>(w, w + 4);
  };
  const std::vector<std::vector<int32_t>> all = {first({1, 0, 0}),
                                                 first({0, 1, 0}),
                                                 first({0, 0, 1}),
                                                 first({uint64_t{1} << 32, 0, 0}),
                                                 first({0, uint64_t{1} << 32, 0}),
                                                 first({0, 0, uint64_t{1} << 32}),
                                                 first({0, 0, 0})};
  for (size_t i = 0; i < all.size(); ++i)
    for (size_t j = 0; j < i; ++j) EXPECT_NE(all[i], all[j]);
}

TEST(SimdRandom, NormalFollowsTheRuleAndItsMoments) {
  for_each_target([] {
    const size_t n = 200000;
    std::vector<float> z(n), part(n);
    simd::random_normal(kStream, 0, n, z.data());
    for (uint64_t i = 0; i < 2000; ++i) {
      const double u = uniform(word(kStream, i & ~uint64_t{1})), v = uniform(word(kStream, i | 1));
      const double angle = 2 * M_PI * v;
      const double want = std::sqrt(-2 * std::log(1 - u)) * (i % 2 == 0 ? std::cos(angle) : std::sin(angle));
      ASSERT_NEAR(z[i], want, 3e-6);
    }
    for (uint64_t at = 0, step = 1; at < n; at += step, step = step * 5 % 997 + 1)
      simd::random_normal(kStream, at, std::min<uint64_t>(n, at + step), part.data() + at);
    EXPECT_EQ(std::memcmp(z.data(), part.data(), n * sizeof(float)), 0);
    double sum = 0, squares = 0, fourth = 0;
    for (float v : z) sum += v, squares += v * v, fourth += std::pow(v, 4);
    EXPECT_NEAR(sum / n, 0, 0.01);
    EXPECT_NEAR(squares / n, 1, 0.015);
    EXPECT_NEAR(fourth / n, 3, 0.1);
  });
}

template <class T>
void check_dropout() {
  const size_t n = 3001;
  std::vector<T> x, y(n), part(n);
  for (float v : uniform_values<float>(n, 1, 2)) x.push_back(static_cast<T>(v));
  const float p = 0.3f, scale = 1 / (1 - p);
  ASSERT_TRUE(simd::dropout(dtype_of<T>, kStream, 11, 11 + n, x.data(), y.data(), p, scale));
  size_t kept = 0;
  for (size_t i = 0; i < n; ++i) {
    const bool keep = uniform(word(kStream, 11 + i)) >= p;
    kept += keep;
    const double got = static_cast<double>(static_cast<float>(y[i]));
    ASSERT_EQ(got != 0, keep) << i;
    const double want = keep ? static_cast<double>(static_cast<float>(x[i])) * static_cast<double>(scale) : 0;
    ASSERT_NEAR(got, want, sizeof(T) == 2 ? 0.01 : 1e-6);
  }
  EXPECT_NEAR(static_cast<double>(kept) / n, 0.7, 0.03);
  for (size_t at = 0; at < n; at += 97)
    simd::dropout(dtype_of<T>, kStream, 11 + at, 11 + std::min(n, at + 97), x.data() + at, part.data() + at,
                  p, scale);
  EXPECT_EQ(std::memcmp(y.data(), part.data(), n * sizeof(T)), 0);
}
TEST(SimdRandom, Dropout) {
  for_each_target([] {
    check_dropout<float>();
    check_dropout<double>();
    check_dropout<f16_t>();
    check_dropout<bf16_t>();
    EXPECT_FALSE(simd::dropout(DType::i32, kStream, 0, 0, nullptr, nullptr, 0.5f, 2));
  });
}

}  // namespace
}  // namespace fovea
