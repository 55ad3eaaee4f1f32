// Element types: names, promotion, and the two 16-bit formats, each checked over all of its values.
#include "framework/tensor/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace fovea {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

const std::vector<DType> kAll = {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i8,
                                 DType::i16, DType::i32, DType::i64, DType::u8,   DType::boolean};

// The value a 16-bit pattern stands for by the definition of the format, in double.
double value_of(uint16_t bits, int exponent_bits) {
  const int mantissa_bits = 15 - exponent_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  if (exponent == (1 << exponent_bits) - 1) return mantissa ? std::nan("") : sign * HUGE_VAL;
  return sign * std::ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
}

template <class T>
void every_pattern_reads_and_returns(int exponent_bits) {
  for (uint32_t p = 0; p < 0x10000; ++p) {
    T stored;
    stored.bits = static_cast<uint16_t>(p);
    const float got = static_cast<float>(stored);
    const double want = value_of(stored.bits, exponent_bits);
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(got)) << p;
      ASSERT_TRUE(std::isnan(static_cast<float>(T(got)))) << p;
      ASSERT_EQ(std::signbit(got), (p & 0x8000) != 0) << p;
      continue;
    }
    ASSERT_EQ(static_cast<double>(got), want) << p;
    ASSERT_EQ(std::signbit(got), (p & 0x8000) != 0) << p;
    ASSERT_EQ(T(got).bits, p);
  }
}

// Between each two neighbours: the midpoint goes to the even one, anything off it to the nearer one.
template <class T>
void rounds_to_nearest_even(int exponent_bits) {
  const int mantissa_bits = 15 - exponent_bits;
  const uint16_t inf = static_cast<uint16_t>(((1 << exponent_bits) - 1) << mantissa_bits);
  for (uint16_t p = 0; p < inf; ++p) {
    const uint16_t next = static_cast<uint16_t>(p + 1);
    // For the largest finite value the neighbour is where the next binade would begin.
    const double high =
        next == inf ? std::ldexp(1.0, 1 << (exponent_bits - 1)) : value_of(next, exponent_bits);
    const float middle = static_cast<float>((value_of(p, exponent_bits) + high) / 2);
    const uint16_t even = p % 2 == 0 ? p : next;
    ASSERT_EQ(T(middle).bits, even) << p;
    ASSERT_EQ(T(-middle).bits, even | 0x8000) << p;
    ASSERT_EQ(T(std::nextafter(middle, 0.0f)).bits, p) << p;
    ASSERT_EQ(T(std::nextafter(middle, kInf)).bits, next) << p;
  }
}

TEST(F16, EveryPatternReadsAndReturns) { every_pattern_reads_and_returns<f16_t>(5); }
TEST(BF16, EveryPatternReadsAndReturns) { every_pattern_reads_and_returns<bf16_t>(8); }
TEST(F16, RoundsToNearestEvenEverywhere) { rounds_to_nearest_even<f16_t>(5); }
TEST(BF16, RoundsToNearestEvenEverywhere) { rounds_to_nearest_even<bf16_t>(8); }

TEST(F16, KnownValues) {
  EXPECT_EQ(f16_t(1.0f).bits, 0x3C00);
  EXPECT_EQ(f16_t(-2.0f).bits, 0xC000);
  EXPECT_EQ(f16_t(65504.0f).bits, 0x7BFF);
  EXPECT_EQ(f16_t(65519.996f).bits, 0x7BFF);
  EXPECT_EQ(f16_t(65520.0f).bits, 0x7C00);
  EXPECT_EQ(f16_t(1e30f).bits, 0x7C00);
  EXPECT_EQ(f16_t(-kInf).bits, 0xFC00);
  EXPECT_EQ(f16_t(0x1p-24f).bits, 0x0001);
  EXPECT_EQ(f16_t(0x1p-25f).bits, 0x0000);
  EXPECT_EQ(f16_t(0x1.000002p-25f).bits, 0x0001);
  EXPECT_EQ(f16_t(0x1p-14f).bits, 0x0400);
  EXPECT_EQ(f16_t(1e-40f).bits, 0x0000);
  EXPECT_EQ(f16_t(-0.0f).bits, 0x8000);
}

TEST(BF16, KnownValues) {
  EXPECT_EQ(bf16_t(1.0f).bits, 0x3F80);
  EXPECT_EQ(bf16_t(-0.0f).bits, 0x8000);
  EXPECT_EQ(bf16_t(1.00390625f).bits, 0x3F80);  // 1 + 2^-8, a tie
  EXPECT_EQ(bf16_t(1.01171875f).bits, 0x3F82);  // 1 + 3 * 2^-8, a tie
  EXPECT_EQ(bf16_t(std::numeric_limits<float>::max()).bits, 0x7F80);
  EXPECT_EQ(bf16_t(kInf).bits, 0x7F80);
  EXPECT_EQ(bf16_t(std::numeric_limits<float>::denorm_min()).bits, 0x0000);
}

TEST(HalfFormats, NaNsWithOnlyLowPayloadBitsStayNaN) {
  for (uint32_t bits : {0x7F800001u, 0xFF800001u, 0x7FC00000u, 0x7FFFFFFFu, 0xFFFFFFFFu, 0x7F801000u}) {
    const float nan = std::bit_cast<float>(bits);
    EXPECT_TRUE(std::isnan(static_cast<float>(f16_t(nan)))) << bits;
    EXPECT_TRUE(std::isnan(static_cast<float>(bf16_t(nan)))) << bits;
    EXPECT_EQ(f16_t(nan).bits >> 15, bits >> 31);
    EXPECT_EQ(bf16_t(nan).bits >> 15, bits >> 31);
  }
}

// The compiler's own binary16 is an independent implementation.
TEST(F16, AgreesWithTheCompilersFloat16OnRandomBits) {
  std::mt19937 random(1);
  for (int i = 0; i < 300000; ++i) {
    const float x = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (std::isnan(x)) continue;
    ASSERT_EQ(f16_t(x).bits, std::bit_cast<uint16_t>(static_cast<_Float16>(x))) << x;
  }
}

TEST(DType, NamesReadBack) {
  const std::vector<std::string_view> names = {"f32", "f64", "f16", "bf16", "i8",
                                               "i16", "i32", "i64", "u8",   "bool"};
  for (size_t i = 0; i < kAll.size(); ++i) {
    EXPECT_EQ(to_string(kAll[i]), names[i]);
    EXPECT_EQ(dtype_from_string(names[i]), kAll[i]);
  }
  EXPECT_EQ(dtype_from_string("float"), std::nullopt);
  EXPECT_EQ(dtype_from_string(""), std::nullopt);
  EXPECT_EQ(dtype_from_string("f3"), std::nullopt);
  EXPECT_EQ(to_string(static_cast<DType>(200)), "invalid");
}

TEST(DType, PromotionTable) {
  using enum DType;
  // Ascending; two types side by side give the larger one, but for the two named pairs.
  const std::vector<DType> order = {boolean, u8, i8, i16, i32, i64, f16, bf16, f32, f64};
  for (size_t a = 0; a < order.size(); ++a) {
    for (size_t b = a; b < order.size(); ++b) {
      DType want = order[b];
      if (order[a] == u8 && order[b] == i8) want = i16;
      if (order[a] == f16 && order[b] == bf16) want = f32;
      EXPECT_EQ(promote(order[a], order[b]), want) << to_string(order[a]) << " " << to_string(order[b]);
      EXPECT_EQ(promote(order[b], order[a]), want) << to_string(order[b]) << " " << to_string(order[a]);
    }
  }
}

TEST(DType, SizesAreThoseOfTheCppTypes) {
  for (DType t : kAll) {
    EXPECT_EQ(dispatch(t, [](auto x) { return static_cast<int64_t>(sizeof(x)); }), size_of(t));
    EXPECT_EQ(dispatch(t, [](auto x) { return dtype_of<decltype(x)>; }), t);
  }
}

}  // namespace
}  // namespace fovea
