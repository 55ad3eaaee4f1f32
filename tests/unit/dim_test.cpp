// Sizes that may be symbolic: normal form, evaluation, division, text, limits.
#include "framework/tensor/dim.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

#include "framework/base/error.h"

namespace fovea {
namespace {

constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

const Dim B = Dim::symbol("B"), L = Dim::symbol("L"), H = Dim::symbol("model.heads");

template <class F>
void expect_invalid(F&& f, const std::string& part) {
  try {
    f();
    FAIL() << "no error; expected one with: " << part;
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::InvalidArgument);
    EXPECT_NE(e.message().find(part), std::string::npos) << e.message();
  }
}

int64_t at(const Dim& d, int64_t b, int64_t l) { return d.eval({{"B", b}, {"L", l}}).value(); }

TEST(Dim, EqualPolynomialsHaveOneForm) {
  EXPECT_EQ(B + L, L + B);
  EXPECT_EQ(B * L, L * B);
  EXPECT_EQ((B + 1) * (B - 1), B * B - 1);
  EXPECT_EQ((B + L) * (B + L), B * B + 2 * B * L + L * L);
  EXPECT_EQ(B * (L + H), B * L + H * B);
  EXPECT_EQ((B + 3) - B, Dim(3));
  EXPECT_EQ(B - B, Dim(0));
  EXPECT_EQ(0 * B, Dim(0));
  EXPECT_TRUE((B - B).is_const());
  EXPECT_FALSE(B == L);
  EXPECT_FALSE(B == Dim(1));
  EXPECT_FALSE(B * B == B);
  EXPECT_FALSE(B + 1 == B);
  EXPECT_FALSE(2 * B == 3 * B);
}

TEST(Dim, NumbersAreNumbers) {
  EXPECT_EQ((Dim(6) * 7 - 2).value(), 40);
  EXPECT_TRUE(Dim(5).is_const());
  EXPECT_EQ(Dim().value(), 0);
  EXPECT_FALSE(Dim(5).is_symbol());
  EXPECT_TRUE(B.is_symbol());
  EXPECT_FALSE((2 * B).is_symbol());
  EXPECT_FALSE((B * L).is_symbol());
  EXPECT_FALSE(floor_div(B, L).is_symbol());
  expect_invalid([] { (B * L + 1).value(); }, "B*L + 1");
}

TEST(Dim, EvaluatesAsWritten) {
  for (int64_t b = -3; b <= 5; ++b)
    for (int64_t l = 1; l <= 4; ++l) {
      EXPECT_EQ(at(3 * B * B * L - 2 * L + 7, b, l), 3 * b * b * l - 2 * l + 7);
      const int64_t n = b * 5 + 3;
      const int64_t q = n >= 0 ? n / l : -((-n + l - 1) / l);
      EXPECT_EQ(at(floor_div(B * 5 + 3, L) * B + 1, b, l), q * b + 1) << b << " " << l;
    }
  EXPECT_FALSE((B + L).eval({{"B", 2}}));
  EXPECT_FALSE(floor_div(B, L).eval({{"B", 2}}));
  EXPECT_EQ(Dim(4).eval({}), 4);
  expect_invalid([] { floor_div(B, L).eval({{"B", 2}, {"L", 0}}); }, "divided by zero");
}

TEST(Dim, FloorDivisionOfNumbersRoundsDown) {
  EXPECT_EQ(floor_div(Dim(7), 2), Dim(3));
  EXPECT_EQ(floor_div(Dim(-7), 2), Dim(-4));
  EXPECT_EQ(floor_div(Dim(7), -2), Dim(-4));
  EXPECT_EQ(floor_div(Dim(-7), -2), Dim(3));
  EXPECT_EQ(floor_div(Dim(-8), 2), Dim(-4));
  EXPECT_EQ(floor_div(Dim(0), 5), Dim(0));
  expect_invalid([] { floor_div(Dim(1), 0); }, "divided by zero");
  expect_invalid([] { floor_div(B, 0); }, "divided by zero");
  expect_invalid([] { floor_div(Dim(kLeast), -1); }, "overflows");
}

TEST(Dim, SymbolsCancel) {
  EXPECT_EQ(floor_div(B * L, L), B);
  EXPECT_EQ(floor_div(6 * B * L, 2 * L), 3 * B);
  EXPECT_EQ(floor_div(4 * B + 8 * L, 4), B + 2 * L);
  EXPECT_EQ(floor_div(B * B + B * L, B), B + L);
  EXPECT_EQ(floor_div(B + L, B + L), Dim(1));
  EXPECT_EQ(floor_div(0, B), Dim(0));
  EXPECT_EQ(floor_div(-2 * B, -1), 2 * B);
  EXPECT_EQ(floor_div(B, 2) + floor_div(B, 2), 2 * floor_div(B, 2));
  EXPECT_FALSE(floor_div(B, 2) * 2 == B);
}

TEST(Dim, ExactDivisionOnlyWhereShown) {
  EXPECT_EQ(exact_div(12, 4), Dim(3));
  EXPECT_EQ(exact_div(12, 5), std::nullopt);
  EXPECT_EQ(exact_div(12, 0), std::nullopt);
  EXPECT_EQ(exact_div(B, 0), std::nullopt);
  EXPECT_EQ(exact_div(B * L * 4, B * 2), 2 * L);
  EXPECT_EQ(exact_div(B, 2), std::nullopt);
  EXPECT_EQ(exact_div(B, L), std::nullopt);
  EXPECT_EQ(exact_div(2 * B + 1, 2), std::nullopt);
  EXPECT_EQ(exact_div((B + 1) * 6, 3), 2 * B + 2);
}

TEST(Dim, WritesAsAPersonWould) {
  EXPECT_EQ(Dim(-3).str(), "-3");
  EXPECT_EQ((B + 4).str(), "B + 4");
  EXPECT_EQ((L - 1).str(), "L - 1");
  EXPECT_EQ((1 - L).str(), "-L + 1");
  EXPECT_EQ((2 * B * L - 3 * L).str(), "2*B*L - 3*L");
  EXPECT_EQ((floor_div(L, 2) + 1).str(), "((L) // (2)) + 1");
  EXPECT_EQ(to_string(Shape{B, 4, 2 * L}), "[B, 4, 2*L]");
  EXPECT_EQ(to_string(Shape{}), "[]");
  EXPECT_EQ(to_string(Dims{2, -1}), "[2, -1]");
}

TEST(Dim, ReadsExpressions) {
  EXPECT_EQ(Dim::parse("12"), Dim(12));
  EXPECT_EQ(Dim::parse(" ( B + 2 ) * 3 "), 3 * B + 6);
  EXPECT_EQ(Dim::parse("B*L // 2 + 1"), floor_div(B * L, 2) + 1);
  EXPECT_EQ(Dim::parse("-B - -2"), 2 - B);
  EXPECT_EQ(Dim::parse("-(B + L)"), Dim(-1) * B - L);
  EXPECT_EQ(Dim::parse("model.heads*B"), H * B);
  EXPECT_EQ(Dim::parse("7 // 2"), Dim(3));
  EXPECT_EQ(Dim::parse("-7 // 2"), Dim(-4));
  EXPECT_EQ(Dim::parse("-9223372036854775808"), Dim(kLeast));
  EXPECT_EQ(Dim::parse("9223372036854775807"), Dim(kMost));
}

TEST(Dim, RefusesWhatIsNoExpression) {
  for (const char* text :
       {"", " ", "B +", "* B", "(B", "B)", "1.5", "2B", "B L", "B / 2", "B ** 2", "$", "B//", "é"})
    expect_invalid([&] { Dim::parse(text); }, "not a size");
  expect_invalid([] { Dim::parse("1 // 0"); }, "divided by zero");
  expect_invalid([] { Dim::parse("9223372036854775808"); }, "overflows");
  expect_invalid([] { Dim::parse(std::string(100000, '(')); }, "100000 characters");
  expect_invalid([] { Dim::parse(std::string(1000, '(')); }, "not a size");
  expect_invalid([] { Dim::parse(std::string(1000, '-') + "1"); }, "not a size");
  for (const char* name : {"", "2B", "a b", "B*L", "a-b"})
    expect_invalid([&] { Dim::symbol(name); }, "a symbol is");
  expect_invalid([] { Dim::symbol(std::string(65, 'x')); }, "at most 64");
}

Dim random_dim(std::mt19937& rng, int depth) {
  const Dim leaves[] = {B, L, H, Dim(static_cast<int64_t>(rng() % 9) - 4)};
  if (depth == 0) return leaves[rng() % 4];
  const Dim a = random_dim(rng, depth - 1), b = random_dim(rng, depth - 1);
  switch (rng() % 4) {
    case 0:
      return a + b;
    case 1:
      return a - b;
    case 2:
      return a * b;
    default:
      return b == Dim(0) ? a : floor_div(a, b);
  }
}

TEST(Dim, TextReadsBackToTheSameSize) {
  std::mt19937 rng(7);
  for (int i = 0; i < 3000; ++i) {
    const Dim d = random_dim(rng, 1 + i % 3);
    EXPECT_EQ(Dim::parse(d.str()), d) << d.str();
    EXPECT_EQ(Dim::parse(d.str()).str(), d.str());
  }
  for (const Dim& d : {Dim(kLeast), Dim(kLeast) * B, B + Dim(kLeast) * L, B + kLeast, Dim(kMost) * B - kMost})
    EXPECT_EQ(Dim::parse(d.str()), d) << d.str();
}

// An expression tree evaluated twice: through the normal form, and directly with floor division on numbers.
struct Pair {
  Dim dim;
  int64_t value;
};

Pair random_pair(std::mt19937& rng, int depth, int64_t b, int64_t l) {
  if (depth == 0) {
    const int64_t c = static_cast<int64_t>(rng() % 9) - 4;
    const Pair leaves[] = {{B, b}, {L, l}, {Dim(c), c}};
    return leaves[rng() % 3];
  }
  const Pair x = random_pair(rng, depth - 1, b, l), y = random_pair(rng, depth - 1, b, l);
  switch (rng() % 4) {
    case 0:
      return {x.dim + y.dim, x.value + y.value};
    case 1:
      return {x.dim - y.dim, x.value - y.value};
    case 2:
      return {x.dim * y.dim, x.value * y.value};
    default:
      break;
  }
  if (y.value == 0) return x;
  int64_t q = x.value / y.value;
  if (q * y.value != x.value && (x.value < 0) != (y.value < 0)) --q;
  return {floor_div(x.dim, y.dim), q};
}

TEST(Dim, NormalFormKeepsTheValue) {
  std::mt19937 rng(11);
  for (int i = 0; i < 5000; ++i) {
    const int64_t b = static_cast<int64_t>(rng() % 7) + 1, l = static_cast<int64_t>(rng() % 30) + 8;
    const Pair p = random_pair(rng, 1 + i % 3, b, l);
    EXPECT_EQ(at(p.dim, b, l), p.value) << p.dim.str() << " at B=" << b << " L=" << l;
  }
}

TEST(Dim, QuotientsHaveOneForm) {
  // Two strided windows after each other, and one that moves as far.
  EXPECT_EQ(floor_div(floor_div(L - 5, 3) - 2, 2) + 1, floor_div(L - 5, 6));
  EXPECT_EQ(floor_div(L - 2, 2) + 1, floor_div(L, 2));
  EXPECT_EQ(floor_div(3 * L + 2, 3), L);
  EXPECT_EQ(floor_div(7 * L + 4 * B, 2), 3 * L + 2 * B + floor_div(L, 2));
  EXPECT_EQ(floor_div(4 * L + 3, 6), floor_div(2 * L + 1, 3));
  EXPECT_NE(floor_div(L + 1, 2), floor_div(L, 2));
  const Dim half = floor_div(L, 2);
  EXPECT_EQ(floor_div(32 * half * B + 32 * B, 8 * half * B + 8 * B), Dim(4));
  EXPECT_EQ(floor_div(L * L - B * B, L - B), L + B);
  EXPECT_EQ(exact_div(B * L + B + L + 1, L + 1), std::optional(B + 1));
  EXPECT_EQ(exact_div(B * L + 1, L + 1), std::nullopt);
}

TEST(Dim, SubstituteReplacesInsideQuotients) {
  EXPECT_EQ((B * L + B).substitute({{"B", 3}}), 3 * L + 3);
  EXPECT_EQ(floor_div(B + 1, L).substitute({{"B", 7}, {"L", 3}}), Dim(2));
  EXPECT_EQ(floor_div(B, L).substitute({{"B", 6 * L}}), Dim(6));
  EXPECT_EQ((B - L).substitute({{"B", L}, {"L", B}}), L - B);
  EXPECT_EQ(Dim(4).substitute({{"B", 3}}), Dim(4));
}

TEST(Dim, ListsEachSymbolOnce) {
  std::vector<std::string> names;
  (B * B + floor_div(L, H + B) + L).symbols(names);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"B", "L", "model.heads"}));
}

TEST(Dim, OverflowIsAnError) {
  expect_invalid([] { Dim(kMost) + 1; }, "overflows");
  expect_invalid([] { Dim(kMost) * 2; }, "overflows");
  expect_invalid([] { Dim(kLeast) - 1; }, "overflows");
  expect_invalid([] { kMost* B + B; }, "overflows");
  expect_invalid([] { (kMost * B) * 2; }, "overflows");
  expect_invalid([] { at(B * B, int64_t{1} << 32, 1); }, "overflows");
  expect_invalid([] { floor_div(Dim(kLeast) * B, -1); }, "overflows");
  expect_invalid([] { exact_div(Dim(kLeast), -1); }, "overflows");
  expect_invalid([] { product(Dims{int64_t{1} << 32, int64_t{1} << 31}); }, "overflows");
  EXPECT_EQ(product(Dims{}), 1);
  EXPECT_EQ(product(Dims{3, 0, 5}), 0);
  EXPECT_EQ(product(Shape{B, 3, L}), 3 * B * L);
}

TEST(Dim, GrowthIsBounded) {
  Dim power = B, nest = B, sum = 0;
  expect_invalid(
      [&] {
        for (int i = 0; i < 40; ++i) power = power * power;
      },
      "more than 64 factors");
  expect_invalid(
      [&] {
        for (int i = 0; i < 40; ++i) nest = floor_div(nest + 1, L);
      },
      "too deep a quotient");
  EXPECT_EQ(Dim::parse(nest.str()), nest);
  expect_invalid(
      [&] {
        for (int i = 0; i < 100; ++i) sum = sum + Dim::symbol("s" + std::to_string(i));
      },
      "65 terms");
  EXPECT_EQ(Dim::parse(sum.str()), sum);
}

TEST(Dim, ShapesEvaluate) {
  EXPECT_EQ(evaluate({B, 4, floor_div(L, 2)}, {{"B", 3}, {"L", 9}}), (Dims{3, 4, 4}));
  EXPECT_TRUE(is_concrete({2, 3}));
  EXPECT_FALSE(is_concrete({2, B}));
  EXPECT_EQ(to_shape({2, 3}), (Shape{2, 3}));
  expect_invalid([] { evaluate({B, L}, {{"B", 3}}); }, "L is not known");
  expect_invalid([] { evaluate({B - 4}, {{"B", 3}}); }, "B - 4 is -1");
}

}  // namespace
}  // namespace fovea
