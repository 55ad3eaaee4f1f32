// Tile programs as data: simplification, text, derivatives, intervals.
#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <random>

#include "ops/shared/tile/program.h"
#include "tests/unit/ops_test_util.h"
#include "tests/unit/tile_test_util.h"

namespace fovea::tiles {
namespace {

using test::expect_error;
using test::random_array;

TEST(TileProgram, EqualInstructionsAreListedOnce) {
  Program p;
  const int32_t x = p.input(0), y = p.input(1);
  EXPECT_EQ(p.input(0), x);
  EXPECT_EQ(p.binary(Code::mul, x, y), p.binary(Code::mul, y, x));
  EXPECT_NE(p.binary(Code::sub, x, y), p.binary(Code::sub, y, x));
  EXPECT_NE(p.input(0, Kind::integer), x);
  EXPECT_NE(p.constant(0.0), p.constant(-0.0));
  // Long lists go through a table.
  for (int k = 0; k < 100; ++k) p.constant(k);
  const size_t size = p.code.size();
  for (int k = 0; k < 100; ++k) p.constant(k);
  EXPECT_EQ(p.code.size(), size);
  EXPECT_EQ(p.binary(Code::mul, x, y), 2);
}

TEST(TileProgram, ExactSimplificationsOnly) {
  Program p;
  const int32_t x = p.input(0), i = p.input(1, Kind::integer), b = p.input(2, Kind::boolean);
  EXPECT_EQ(p.binary(Code::mul, x, p.constant(1)), x);
  EXPECT_EQ(p.binary(Code::mul, p.constant(1), x), x);
  EXPECT_EQ(p.binary(Code::div, x, p.constant(1)), x);
  EXPECT_EQ(p.binary(Code::add, x, p.constant(-0.0)), x);
  EXPECT_NE(p.binary(Code::add, x, p.constant(0.0)), x) << "-0 + 0 is +0";
  EXPECT_EQ(p.binary(Code::sub, x, p.constant(0.0)), x);
  EXPECT_NE(p.binary(Code::mul, x, p.constant(0.0)), p.constant(0.0)) << "inf * 0 is NaN";
  EXPECT_EQ(p.unary(Code::neg, p.unary(Code::neg, x)), x);
  EXPECT_EQ(p.unary(Code::logical_not, p.unary(Code::logical_not, b)), b);
  EXPECT_EQ(p.select(b, x, x), x);
  EXPECT_EQ(p.select(p.boolean(false), p.constant(3), x), x);
  EXPECT_EQ(p.select(p.unary(Code::logical_not, b), p.constant(3), x), p.select(b, x, p.constant(3)));
  EXPECT_EQ(p.binary(Code::logical_and, b, p.boolean(true)), b);
  EXPECT_EQ(p.binary(Code::logical_or, b, p.boolean(true)), p.boolean(true));
  EXPECT_EQ(p.binary(Code::add, i, p.integer(0)), i);
  EXPECT_EQ(p.binary(Code::mul, i, p.integer(0)), p.integer(0));
  EXPECT_EQ(p.binary(Code::less, p.constant(1), p.constant(2)), p.boolean(true));
  EXPECT_EQ(p.binary(Code::less, i, i), p.boolean(false));
  EXPECT_EQ(p.code[p.binary(Code::equal, x, x)].code, Code::equal) << "NaN is not equal to itself";
  EXPECT_EQ(p.unary(Code::exp, p.constant(0)), p.constant(1));
  EXPECT_EQ(p.binary(Code::div, x, p.constant(8)), p.binary(Code::mul, x, p.constant(0.125)));
  EXPECT_EQ(p.code[p.binary(Code::div, x, p.constant(3))].code, Code::div);
  EXPECT_EQ(p.binary(Code::floor_div, p.integer(-7), p.integer(2)), p.integer(-4));
  EXPECT_EQ(p.binary(Code::mod, p.integer(-7), p.integer(0)), p.integer(0));
}

TEST(TileProgram, KindsAreChecked) {
  Program p;
  const int32_t x = p.input(0), i = p.input(1, Kind::integer), b = p.input(2, Kind::boolean);
  expect_error([&] { p.binary(Code::add, x, i); }, "add takes two operands of one kind");
  expect_error([&] { p.unary(Code::exp, i); }, "exp takes a real number");
  expect_error([&] { p.select(x, x, x); }, "select takes a bool");
  expect_error([&] { p.binary(Code::logical_and, i, i); }, "logical_and takes bools");
  expect_error([&] { p.binary(Code::less, b, b); }, "less takes numbers");
  expect_error([&] { p.unary(Code::exp, 77); }, "exp reads value 77, there are 3");
  expect_error([&] { p.input(-1); }, "operand -1");
  expect_error([&] { p.random(0, -1); }, "random needs a stream");
}

TEST(TileProgram, TextRoundTrip) {
  Program p;
  const int32_t s = p.input(0), scaled = p.binary(Code::mul, s, p.constant(0.125));
  const int32_t key = p.iota(-1), query = p.iota(-2);
  const int32_t causal = p.binary(Code::less_equal, key, query);
  const int32_t length = p.binary(Code::less, key, p.input(1, Kind::integer));
  const int32_t keep = p.binary(Code::logical_and, causal, length);
  const int32_t bits = p.random(7, 3), drop = p.binary(Code::less, bits, p.integer(-1000000));
  p.results = {p.select(keep, scaled, p.constant(-INFINITY)), drop};
  const std::string text = p.str();
  EXPECT_EQ(text,
            "v0 = input 0; v1 = constant 0.125; v2 = mul v0 v1; v3 = iota -1; v4 = iota -2; "
            "v5 = less_equal v3 v4; v6 = input 1 integer; v7 = less v3 v6; v8 = logical_and v5 v7; "
            "v9 = random 7 3; v10 = integer -1000000; v11 = less v9 v10; v12 = constant -inf; "
            "v13 = select v8 v2 v12; return v13 v11");
  EXPECT_EQ(Program::parse(text), p);
  EXPECT_EQ(Program::parse(""), Program());
  EXPECT_EQ(Program().str(), "");
  Program q = Program::parse("v0 = constant nan; v1 = constant 0.1; return v0 v1");
  EXPECT_EQ(Program::parse(q.str()), q);
}

TEST(TileProgram, ParseErrorsTellThePosition) {
  const auto bad = [](const char* text, const char* part) {
    expect_error([&] { Program::parse(text); }, part);
  };
  bad("v0 = inputs 0; return v0", "position 5: expected an instruction, got 'inputs 0; return v0'");
  bad("v1 = input 0; return v1", "position 0: expected v0 or return");
  bad("v0 = input 0; v1 = exp v1; return v1", "position 23: value v1 is not made yet");
  bad("v0 = input 0 return v0", "position 13: expected ';'");
  bad("v0 = input 0; return v3", "value v3 is not made yet");
  bad("v0 = input 0;", "expected v1 or return, but the text ends");
  bad("v0 = constant 1e; return v0", "expected a number");
  bad("v0 = input 99999999; return v0", "operand 99999999 is not in");
  bad("v0 = input 0; v1 = add v0; return v1", "expected a value such as v0");
  bad("v0 = $; return v0", "expected a word");
}

TEST(TileProgram, RandomProgramsSurviveTextAndCompaction) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    test::RandomProgram random(seed);
    Program p = random.program;
    EXPECT_EQ(Program::parse(p.str()), p) << p.str();
    Program q = p;
    q.compact();
    EXPECT_LE(q.code.size(), p.code.size());
    EXPECT_EQ(Program::parse(q.str()), q) << q.str();
    Program again;
    again.results = again.append(p, {});
    EXPECT_EQ(again, p) << p.str();
  }
}

TEST(TileProgram, AppendPutsValuesForInputs) {
  Program p, q;
  p.results = {p.unary(Code::exp, p.binary(Code::mul, p.input(0), p.input(2)))};
  const int32_t x = q.input(5), y = q.constant(2);
  const int32_t inputs[] = {x, -1, y};
  q.results = q.append(p, inputs);
  EXPECT_EQ(q.str(), "v0 = input 5; v1 = constant 2; v2 = mul v0 v1; v3 = exp v2; return v3");
  EXPECT_TRUE(q.reads_input(3, 5));
  EXPECT_FALSE(q.reads_input(3, 2));
  const int32_t random = q.random(1, 4);
  EXPECT_TRUE(q.reads_input(random, 4));
}

TEST(TileProgram, NamesAreThoseOfOps) {
  Code c;
  EXPECT_TRUE(code_of_op("logical_and", c));
  EXPECT_EQ(c, Code::logical_and);
  EXPECT_TRUE(code_of_op("where", c));
  EXPECT_EQ(c, Code::select);
  for (const char* none : {"input", "constant", "cast", "to_real", "matmul", "select", "iota", ""})
    EXPECT_FALSE(code_of_op(none, c)) << none;
  for (int k = static_cast<int>(Code::neg); k < static_cast<int>(Code::select); ++k) {
    const auto name = name_of(static_cast<Code>(k));
    if (name.starts_with("to_")) continue;
    EXPECT_NE(lookup_op(name), nullptr) << name;
  }
}

// ---- derivatives

double value_at(const Program& p, const std::vector<Array>& in, size_t result = 0) {
  std::vector<Tensor> tensors(in.begin(), in.end());
  return test::reference(p, tensors, {1})[result].get_flat(0);
}

void expect_derivative(const Program& p, std::vector<double> x) {
  std::vector<Array> in;
  std::vector<int64_t> wrt;
  for (size_t k = 0; k < x.size(); ++k) {
    in.push_back(test::filled({1}, x[k]));
    wrt.push_back(static_cast<int64_t>(k));
  }
  const Program d = derivative(p, wrt, static_cast<int64_t>(x.size()));
  ASSERT_EQ(d.results.size(), x.size());
  std::vector<Array> with_g = in;
  with_g.push_back(test::filled({1}, 0.7));
  for (size_t k = 0; k < x.size(); ++k) {
    const double step = 1e-6;
    std::vector<Array> up = in, down = in;
    up[k] = test::filled({1}, x[k] + step);
    down[k] = test::filled({1}, x[k] - step);
    const double slope = 0.7 * (value_at(p, up) - value_at(p, down)) / (2 * step);
    EXPECT_NEAR(value_at(d, with_g, k), slope, 1e-6 * (1 + std::fabs(slope))) << p.str() << "\n" << d.str();
  }
}

TEST(TileDerivative, OfEveryInstruction) {
  for (Code c : {Code::neg, Code::abs, Code::exp, Code::expm1, Code::log, Code::log1p, Code::sqrt,
                 Code::rsqrt, Code::reciprocal, Code::tanh, Code::sigmoid, Code::erf, Code::sin, Code::cos,
                 Code::sign, Code::floor, Code::ceil, Code::round}) {
    Program p;
    p.results = {p.unary(c, p.input(0))};
    expect_derivative(p, {0.37});
  }
  for (Code c :
       {Code::add, Code::sub, Code::mul, Code::div, Code::maximum, Code::minimum, Code::pow, Code::mod}) {
    Program p;
    p.results = {p.binary(c, p.input(0), p.input(1))};
    expect_derivative(p, {0.8, 0.3});
    expect_derivative(p, {0.4, 1.3});
  }
  Program p;
  const int32_t x = p.input(0), y = p.input(1);
  p.results = {p.select(p.binary(Code::less, x, y), p.binary(Code::mul, x, x), p.unary(Code::exp, y))};
  expect_derivative(p, {0.4, 1.3});
  expect_derivative(p, {1.4, 1.3});
}

TEST(TileDerivative, SumsWhereAValueIsUsedTwice) {
  Program p;
  const int32_t x = p.input(0), e = p.unary(Code::exp, x);
  const int32_t t = p.unary(Code::tanh, p.binary(Code::mul, e, x));
  p.results = {p.binary(Code::add, p.binary(Code::mul, t, e), p.binary(Code::div, x, p.input(1)))};
  expect_derivative(p, {0.3, 2.2});
}

TEST(TileDerivative, KinksAndNoDependence) {
  Program p;
  p.results = {p.binary(Code::maximum, p.input(0), p.input(1))};
  const int64_t wrt[] = {0, 1, 2};
  const Program d = derivative(p, wrt, 3);
  const std::vector<Array> in = {test::filled({1}, 2), test::filled({1}, 2), test::filled({1}, 9),
                                 test::filled({1}, 1)};
  EXPECT_EQ(value_at(d, in, 0), 0.5);
  EXPECT_EQ(value_at(d, in, 1), 0.5);
  EXPECT_EQ(value_at(d, in, 2), 0);
  Program two;
  two.results = {two.input(0), two.input(1)};
  expect_error([&] { derivative(two, wrt, 3); }, "one real result");
}

TEST(TileDerivative, RandomSmoothPrograms) {
  std::mt19937 engine(5);
  std::uniform_real_distribution<double> pick(0.3, 1.4);
  for (unsigned seed = 0; seed < 60; ++seed) {
    Program p = test::smooth_program(seed);
    expect_derivative(p, {pick(engine), pick(engine), pick(engine)});
  }
}

// ---- intervals

std::vector<Interval> bounds(const Program& p, std::vector<Interval> operands, std::vector<int64_t> begin,
                             std::vector<int64_t> end) {
  std::vector<Interval> out(p.code.size());
  intervals(p, operands, begin, end, out);
  return out;
}

TEST(TileIntervals, CausalMaskOverTiles) {
  Program p;
  const int32_t keep = p.binary(Code::less_equal, p.iota(-1), p.iota(-2));
  const int32_t score = p.select(keep, p.input(0), p.constant(-INFINITY));
  const auto over = [&](int64_t i0, int64_t i1, int64_t j0, int64_t j1) {
    return bounds(p, {}, {0, i0, j0}, {1, i1, j1});
  };
  EXPECT_EQ(over(64, 128, 0, 64)[keep].low, 1);
  EXPECT_EQ(over(0, 64, 64, 128)[keep].high, 0);
  const auto empty = over(0, 64, 64, 128)[score];
  EXPECT_TRUE(empty.constant() && empty.low == -INFINITY);
  const auto partial = over(0, 64, 0, 64);
  EXPECT_FALSE(partial[keep].constant());
  EXPECT_EQ(partial[score].low, -INFINITY);
  EXPECT_EQ(over(64, 128, 0, 64)[score].low, -DBL_MAX);
}

TEST(TileIntervals, AddingMinusInfinityToAnUnknownNumber) {
  Program p;
  const int32_t s = p.binary(Code::mul, p.input(0), p.constant(0.125));
  const int32_t sum = p.binary(Code::add, s, p.constant(-INFINITY));
  const int32_t big = p.binary(Code::add, p.unary(Code::exp, p.input(0)), p.constant(-INFINITY));
  const auto out = bounds(p, {}, {}, {});
  EXPECT_TRUE(out[sum].constant() && out[sum].low == -INFINITY);
  EXPECT_FALSE(out[big].constant()) << "exp may overflow, and inf - inf is NaN";
}

TEST(TileIntervals, BruteForceOverBoxes) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    test::RandomProgram random(seed);
    const Program& p = random.program;
    std::mt19937 engine(seed);
    std::vector<Interval> operands(4);
    for (Interval& o : operands) {
      const double a = static_cast<double>(engine() % 9) - 4, b = static_cast<double>(engine() % 9) - 4;
      o = {std::min(a, b) / 2, std::max(a, b) / 2};
    }
    operands[1] = {std::floor(operands[1].low), std::floor(operands[1].high)};  // integers
    operands[2] = {0, static_cast<double>(engine() % 2)};                       // bools
    const int64_t i0 = engine() % 5, j0 = engine() % 5, rows = 3, columns = 4;
    const auto out = bounds(p, operands, {i0, j0}, {i0 + rows, j0 + columns});
    Program all = p;  // every value is a result
    all.results.clear();
    for (size_t v = 0; v < p.code.size(); ++v) all.results.push_back(static_cast<int32_t>(v));
    std::vector<Array> in = {Array(DType::f64, {8, 9}), Array(DType::i64, {8, 9}),
                             Array(DType::boolean, {8, 9}), test::key(seed)};
    for (int k = 0; k < 3; ++k)
      for (int64_t e = 0; e < in[k].size(); ++e) {
        const double at = static_cast<double>(engine() % 5) / 4;
        const double x = operands[k].low + at * (operands[k].high - operands[k].low);
        in[k].set_flat(e, k == 0 ? x : std::round(x));
      }
    const auto values = test::reference(all, {in.begin(), in.end()}, {8, 9});
    for (size_t v = 0; v < p.code.size(); ++v)
      for (int64_t i = i0; i < i0 + rows; ++i)
        for (int64_t j = j0; j < j0 + columns; ++j) {
          const double x = values[v].get_flat(i * 9 + j);
          const Interval& b = out[v];
          if (std::isnan(x)) {
            ASSERT_TRUE(b.low == -INFINITY && b.high == INFINITY) << "v" << v << " of " << p.str();
          } else {
            ASSERT_LE(b.low, x) << "v" << v << " of " << p.str();
            ASSERT_GE(b.high, x) << "v" << v << " of " << p.str();
          }
        }
  }
}

}  // namespace
}  // namespace fovea::tiles
