// The tile machine against the same program as tensor ops on the reference backend.
#include "ops/shared/tile/machine.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/ops_test_util.h"
#include "tests/unit/simd_test_util.h"
#include "tests/unit/tile_test_util.h"

namespace fovea::tiles {
namespace {

using test::filled;
using test::key;
using test::random_array;

struct Scratch {
  std::vector<char> bytes;
  explicit Scratch(int64_t n) : bytes(static_cast<size_t>(n) + 64 + 64, '\x5a') {}
  void* data() {
    const auto at = reinterpret_cast<uintptr_t>(bytes.data());
    return bytes.data() + (64 - at % 64) % 64;
  }
  // The guard behind the memory that was asked for is untouched.
  void expect_intact(int64_t n) {
    const char* end = static_cast<char*>(data()) + n;
    for (const char* p = end; p < end + 48 && p < bytes.data() + bytes.size(); ++p) ASSERT_EQ(*p, '\x5a');
  }
};

// An operand that broadcasts over the space [rows, columns] as NumPy does.
Operand operand_of(const Array& a, int64_t row0, int64_t column0) {
  Operand o;
  o.dtype = a.dtype();
  const Dims &shape = a.shape(), &strides = a.strides();
  const size_t rank = shape.size();
  if (rank >= 1 && shape[rank - 1] != 1) o.column = strides[rank - 1];
  if (rank >= 2 && shape[rank - 2] != 1) o.row = strides[rank - 2];
  o.data = static_cast<const char*>(a.raw()) + (row0 * o.row + column0 * o.column) * size_of(o.dtype);
  return o;
}

// Runs the machine over [rows, columns] in tiles of at most this size; results in the machine's own types.
std::vector<Array> run_tiled(const Program& p, DType compute, const std::vector<Array>& in, int64_t rows,
                             int64_t columns, int64_t tile_rows, int64_t tile_columns,
                             std::vector<DType> types = {}) {
  const Machine machine(p, compute);
  std::vector<Array> out;
  for (size_t k = 0; k < p.results.size(); ++k) {
    const Kind kind = p.code[p.results[k]].kind;
    const DType own = kind == Kind::real ? compute : kind == Kind::integer ? DType::i64 : DType::boolean;
    out.push_back(filled({rows, columns}, 77, types.empty() ? own : types[k]));
  }
  const int64_t bytes = machine.scratch_bytes(tile_rows, tile_columns);
  Scratch scratch(bytes);
  for (int64_t i = 0; i < rows; i += tile_rows)
    for (int64_t j = 0; j < columns; j += tile_columns) {
      std::vector<Operand> operands;
      for (size_t k = 0; k < in.size(); ++k)  // operand 3 is the key, read as it is
        operands.push_back(k == 3 ? Operand{in[k].raw(), DType::i64, 0, 0} : operand_of(in[k], i, j));
      const int64_t index[] = {i, j};
      Tile tile;
      tile.rows = std::min(tile_rows, rows - i);
      tile.columns = std::min(tile_columns, columns - j);
      tile.operands = operands.data();
      tile.index = index;
      tile.linear = static_cast<uint64_t>(i * columns + j);
      tile.linear_row = static_cast<uint64_t>(columns);
      std::vector<void*> results;
      for (Array& y : out)
        results.push_back(static_cast<char*>(y.raw()) + (i * columns + j) * size_of(y.dtype()));
      machine.run(tile, results.data(), types.empty() ? nullptr : types.data(), columns, scratch.data());
    }
  scratch.expect_intact(bytes);
  return out;
}

void expect_close(const Array& got, const Array& want, double tolerance, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (int64_t i = 0; i < got.size(); ++i) {
    const double g = got.get_flat(i), w = want.get_flat(i);
    if (std::isnan(w)) {
      ASSERT_TRUE(std::isnan(g)) << what << " [" << i << "] gave " << g;
    } else if (std::isinf(w) || tolerance == 0) {
      ASSERT_EQ(g, w) << what << " [" << i << "]";
    } else {
      ASSERT_NEAR(g, w, tolerance * (1 + std::fabs(w))) << what << " [" << i << "]";
    }
  }
}

std::vector<Array> operands(unsigned seed, Dims real, Dims integer, Dims boolean) {
  return {random_array(std::move(real), static_cast<int>(seed), DType::f64, -2, 2),
          random_array(std::move(integer), static_cast<int>(seed) + 1, DType::i64, -3, 8),
          random_array(std::move(boolean), static_cast<int>(seed) + 2, DType::boolean, 0, 2), key(seed)};
}

TEST(TileMachine, RandomProgramsInDouble) {
  const Dims shapes[] = {{7, 53}, {1, 53}, {7, 1}, {1, 1}, {53}, {}};
  for (unsigned seed = 0; seed < 250; ++seed) {
    test::RandomProgram random(seed);
    const auto in = operands(seed, shapes[seed % 6], shapes[seed / 2 % 6], shapes[seed / 3 % 6]);
    const auto want = test::reference(random.program, {in.begin(), in.end()}, {7, 53});
    const int64_t tile_rows = 1 + seed % 7, tile_columns = seed % 3 == 0 ? 53 : 16 + seed % 30;
    const auto got = run_tiled(random.program, DType::f64, in, 7, 53, tile_rows, tile_columns);
    for (size_t k = 0; k < got.size(); ++k)
      expect_close(got[k], want[k], is_floating(got[k].dtype()) ? 1e-9 : 0,
                   "seed " + std::to_string(seed) + ", " + random.program.str());
  }
}

TEST(TileMachine, EveryInstructionInBothTypes) {
  for (int c = static_cast<int>(Code::neg); c <= static_cast<int>(Code::select); ++c) {
    const Code code = static_cast<Code>(c);
    for (Kind kind : {Kind::real, Kind::integer, Kind::boolean}) {
      Program p;
      const int32_t x = p.input(0, kind), y = p.input(1, kind), b = p.input(2, Kind::boolean);
      try {
        p.results = {arity(code) == 1   ? p.unary(code, x)
                     : arity(code) == 2 ? p.binary(code, x, y)
                                        : p.select(b, x, y)};
      } catch (const Error&) {
        continue;  // not for this kind
      }
      const bool real = kind == Kind::real, positive = code == Code::pow && real;
      const auto values = [&](int seed) {
        return real ? random_array({5, 37}, seed, DType::f32, positive ? 0.1 : -2, 2)
                    : random_array({5, 37}, seed, DType::i64, kind == Kind::boolean ? 0 : -6,
                                   kind == Kind::boolean ? 2 : 6);
      };
      const std::vector<Array> in = {values(1), values(2), random_array({5, 37}, 3, DType::boolean, 0, 2)};
      const auto want = test::reference(p, {in.begin(), in.end()}, {5, 37});
      simd_test::for_each_target([&] {
        for (DType compute : {DType::f32, DType::f64})
          expect_close(run_tiled(p, compute, in, 5, 37, 5, 37)[0], want[0],
                       p.code[p.results[0]].kind != Kind::real ? 0
                       : compute == DType::f32                 ? 2e-6
                                                               : 1e-12,
                       p.str());
      });
    }
  }
}

// What attention runs: scale, bias, causal, padding, dropout; every piece must give the whole's bits.
Program score_program() {
  Program p;
  const int32_t s = p.binary(Code::mul, p.input(0), p.constant(0.125));
  const int32_t biased = p.binary(Code::add, s, p.input(1));
  const int32_t causal =
      p.binary(Code::less_equal, p.iota(-1), p.binary(Code::add, p.iota(-2), p.integer(3)));
  const int32_t keep = p.binary(Code::logical_and, causal, p.input(2, Kind::boolean));
  const int32_t masked = p.select(keep, biased, p.constant(-INFINITY));
  const int32_t kept =
      p.unary(Code::logical_not, p.binary(Code::less, p.random(4, 3), p.integer(-1500000000)));
  p.results = {masked, p.select(kept, p.unary(Code::exp, masked), p.constant(0)), kept};
  return p;
}

TEST(TileMachine, TilesOfAnySizeGiveTheSameBits) {
  const Program p = score_program();
  for (int64_t columns : {1, 16, 50, 64, 1500}) {
    const int64_t rows = 9;
    std::vector<Array> in = {random_array({rows, columns}, 1), random_array({1, columns}, 2),
                             random_array({1, columns}, 3, DType::boolean, 0, 2), key(5)};
    const auto whole = run_tiled(p, DType::f32, in, rows, columns, rows, columns);
    const auto want = test::reference(p, {in.begin(), in.end()}, {rows, columns});
    for (size_t k = 0; k < whole.size(); ++k) expect_close(whole[k], want[k], k == 2 ? 0 : 2e-6, "whole");
    for (auto [r, c] : {std::pair<int64_t, int64_t>{1, columns}, {4, 7}, {2, 16}, {rows, 33}}) {
      const auto parts = run_tiled(p, DType::f32, in, rows, columns, r, c);
      for (size_t k = 0; k < whole.size(); ++k)
        EXPECT_EQ(std::memcmp(parts[k].raw(), whole[k].raw(), static_cast<size_t>(whole[k].nbytes())), 0)
            << columns << " columns in tiles of " << r << " x " << c;
    }
  }
}

// 3e30 lies half way between two numbers of f32: what is added is lost, and must not choose between them.
TEST(TileMachine, WhatIsAddedToAFillIsLost) {
  const Program p = Program::parse(
      "v0 = input 0; v1 = input 1; v2 = constant -1e30; v3 = mul v1 v2; v4 = add v0 v3; v5 = constant 0.5; "
      "v6 = mul v4 v5; return v6");
  const Array x = random_array({4, 37}, 3, DType::f32, -2, 2), many = Array::full(DType::f32, {4, 1}, -3);
  const Array y = run_tiled(p, DType::f32, {x, many}, 4, 37, 4, 16)[0];
  const float fill = -1e30F, product = -3.0F * fill;
  for (int64_t i = 0; i < y.size(); ++i) EXPECT_EQ(y.get_flat(i), 0.5 * product) << i;
}

TEST(TileMachine, IndicesBeyond32Bits) {
  Program p;
  const int32_t far = p.binary(Code::less, p.integer(int64_t{3} << 31), p.iota(-1));
  p.results = {far, p.binary(Code::sub, p.iota(-1), p.iota(-2))};
  const Machine machine(p, DType::f32);
  Scratch scratch(machine.scratch_bytes(2, 40));
  std::vector<uint8_t> mask(80);
  std::vector<int64_t> distance(80);
  void* results[] = {mask.data(), distance.data()};
  const int64_t index[] = {7, 5, (int64_t{3} << 31) - 10};
  Tile tile;
  tile.rows = 2;
  tile.columns = 40;
  tile.index = index;
  tile.rank = 3;
  machine.run(tile, results, nullptr, 40, scratch.data());
  for (int64_t i = 0; i < 2; ++i)
    for (int64_t j = 0; j < 40; ++j) {
      EXPECT_EQ(mask[i * 40 + j], j > 10) << j;
      EXPECT_EQ(distance[i * 40 + j], index[2] + j - index[1] - i);
    }
}

TEST(TileMachine, OperandAndResultTypes) {
  Program p;
  const int32_t x = p.binary(Code::add, p.binary(Code::mul, p.input(0), p.input(1)), p.input(2));
  p.results = {x, p.binary(Code::less, x, p.constant(0)), x};
  const DType types[] = {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i8,
                         DType::i16, DType::i32, DType::i64, DType::u8,   DType::boolean};
  for (DType a : types)
    for (DType out : types) {
      std::vector<Array> in = {random_array({3, 21}, 1, a, 0, 5), random_array({21}, 2, DType::bf16, 0, 5),
                               random_array({3, 1}, 3, a, 0, 3)};
      const auto got = run_tiled(p, DType::f32, in, 3, 21, 2, 21, {DType::f32, out, out});
      const auto want = test::reference(p, {in.begin(), in.end()}, {3, 21});
      expect_close(got[0], want[0], 1e-6, std::string(to_string(a)));
      expect_close(got[1], want[1].cast(out), 0, std::string(to_string(out)));
      expect_close(got[2], got[0].cast(out), 0, std::string(to_string(out)));
    }
}

TEST(TileMachine, StridedOperandsAndResultsInPlace) {
  Program p;
  const int32_t x = p.input(0), y = p.input(1);
  p.results = {p.binary(Code::sub, p.unary(Code::exp, x), y), p.binary(Code::mul, x, y)};
  const Machine machine(p, DType::f32);
  for (int64_t columns : {13, 32, 1200}) {
    const int64_t rows = 4;
    std::vector<float> a(static_cast<size_t>(rows * columns)), b(a.size()), turned(a.size());
    std::mt19937 engine(1);
    for (auto* v : {&a, &b})
      for (float& e : *v) e = static_cast<float>(engine() % 1000) / 500 - 1;
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j) turned[j * rows + i] = b[i * columns + j];
    Scratch scratch(machine.scratch_bytes(rows, columns));
    const auto run = [&](float* first, const float* second, int64_t row, int64_t column, float* y0,
                         float* y1) {
      const Operand operands[] = {{first, DType::f32, columns, 1}, {second, DType::f32, row, column}};
      Tile tile;
      tile.rows = rows;
      tile.columns = columns;
      tile.operands = operands;
      void* results[] = {y0, y1};
      machine.run(tile, results, nullptr, columns, scratch.data());
    };
    std::vector<float> y0(a.size()), y1(a.size()), z1(a.size());
    run(a.data(), turned.data(), 1, rows, y0.data(), y1.data());
    for (size_t i = 0; i < a.size(); ++i) {
      ASSERT_NEAR(y0[i], std::exp(a[i]) - b[i], 1e-5);
      ASSERT_EQ(y1[i], a[i] * b[i]);
    }
    std::vector<float> in_place = a, other = b;
    run(in_place.data(), other.data(), columns, 1, in_place.data(), other.data());
    EXPECT_EQ(in_place, y0);
    EXPECT_EQ(other, y1);
    in_place = a;
    other = b;
    run(in_place.data(), other.data(), columns, 1, other.data(), in_place.data());
    EXPECT_EQ(other, y0);
    EXPECT_EQ(in_place, y1);
  }
}

TEST(TileMachine, OperandsAsResultsAndConstants) {
  Program p;
  p.results = {p.input(0), p.constant(2.5), p.input(1, Kind::integer), p.boolean(true), p.iota(-2)};
  std::vector<Array> in = {random_array({3, 20}, 1), random_array({3, 1}, 2, DType::i32, 0, 9)};
  const auto got = run_tiled(p, DType::f32, in, 3, 20, 3, 20);
  const auto want = test::reference(p, {in.begin(), in.end()}, {3, 20});
  for (size_t k = 0; k < got.size(); ++k) expect_close(got[k], want[k], 0, std::to_string(k));
}

TEST(TileMachine, OnlyFloatAndDouble) {
  test::expect_error([] { Machine(Program(), DType::bf16); }, "computes in f32 or f64, not in bf16");
}

}  // namespace
}  // namespace fovea::tiles
