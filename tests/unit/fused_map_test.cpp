// The fused_map op: its CPU kernel against its decomposition on the reference backend in f64.
#include "ops/composite/fused_map/fused_map.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "framework/runtime/thread_pool.h"
#include "tests/unit/ops_test_util.h"
#include "tests/unit/tile_test_util.h"

namespace fovea {
namespace {

using tiles::Code;
using tiles::Kind;

std::vector<Array> run(const std::string& backend, const MapSpec& spec, const std::vector<Array>& in) {
  return test::run_op_on(backend, "fused_map", in, map_attrs(spec));
}

void expect_equal_values(const std::vector<Array>& got, const std::vector<Array>& want, double tolerance,
                         const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t k = 0; k < got.size(); ++k) {
    ASSERT_EQ(got[k].shape(), want[k].shape()) << what;
    ASSERT_EQ(got[k].dtype(), want[k].dtype()) << what;
    double largest = 0;
    for (int64_t i = 0; i < want[k].size(); ++i)
      if (std::isfinite(want[k].get_flat(i))) largest = std::max(largest, std::fabs(want[k].get_flat(i)));
    for (int64_t i = 0; i < got[k].size(); ++i) {
      const double g = got[k].get_flat(i), w = want[k].get_flat(i);
      if (std::isnan(w)) {
        ASSERT_TRUE(std::isnan(g)) << what << " result " << k << " [" << i << "]";
      } else if (std::isinf(w)) {
        ASSERT_EQ(g, w) << what << " result " << k << " [" << i << "]";
      } else {
        ASSERT_NEAR(g, w, tolerance * (largest + 1e-30)) << what << " result " << k << " [" << i << "]";
      }
    }
  }
}

MapSpec spec_of(tiles::Program p, Dims space, std::vector<MapResult> results = {}, int64_t columns = 1,
                int64_t outer = 0) {
  MapSpec s;
  for (int32_t r : p.results) {
    const Kind kind = p.code[r].kind;
    s.types.push_back(kind == Kind::real ? DType::f32 : kind == Kind::integer ? DType::i64 : DType::boolean);
  }
  s.results = results.empty() ? std::vector<MapResult>(s.types.size(), MapResult::map) : results;
  s.program = std::move(p);
  s.space = to_shape(space);
  s.columns = columns;
  s.outer = outer;
  return s;
}

tiles::Program bias_gelu() {
  tiles::Program p;
  const int32_t x = p.binary(Code::add, p.input(0), p.input(1));
  const int32_t cdf =
      p.binary(Code::add, p.unary(Code::erf, p.binary(Code::mul, x, p.constant(0.70710678))), p.constant(1));
  p.results = {p.binary(Code::mul, p.binary(Code::mul, x, p.constant(0.5)), cdf)};
  return p;
}

TEST(FusedMap, ShapesAndLayouts) {
  for (const Dims& space :
       {Dims{3, 50, 192}, {64, 100}, {7}, {}, {1, 1}, {5, 0, 3}, {2, 3, 4, 5}, {3, 70000}, {40000, 3}}) {
    std::vector<std::pair<const char*, Dims>> shapes = {{"same", space}, {"scalar", {}}};
    if (!space.empty()) shapes.push_back({"last", {space.back()}});
    if (space.size() > 1) {
      Dims column = space;
      column.back() = 1;
      shapes.push_back({"column", column});
    }
    for (const auto& [name, shape] : shapes) {
      const MapSpec s = spec_of(bias_gelu(), space);
      const std::vector<Array> in = {test::random_array(space, 1), test::random_array(shape, 2)};
      expect_equal_values(run("cpu", s, in), run("reference", s, in), 1e-6, to_string(s.space) + " " + name);
    }
  }
}

TEST(FusedMap, StridedOperands) {
  // x^T + y, through a plan, so that the transposed operand comes as a view.
  auto module = std::make_shared<Module>();
  auto b = Builder::make(module, "f");
  const Tensor x = b->input("x", {DType::f32, Shape{70, 33}}), y = b->input("y", {DType::f32, Shape{33, 70}});
  const Tensor turned = b->add(find_op("permute"), {x}, {{"axes", Ints{1, 0}}}, {})[0];
  tiles::Program p;
  p.results = {p.binary(Code::add, p.input(0), p.input(1))};
  b->output("", b->add(find_op("fused_map"), {turned, y}, map_attrs(spec_of(p, {33, 70})), {})[0]);
  b->finish();
  const Array ax = test::random_array({70, 33}, 1), ay = test::random_array({33, 70}, 2);
  const auto plan_in = std::vector<Array>{ax, ay};
  CompileOptions cpu, reference;
  reference.backend = "reference";
  expect_equal_values(Program(module, "f", cpu).run(plan_in), Program(module, "f", reference).run(plan_in),
                      1e-6, "turned");
}

TEST(FusedMap, RandomProgramsInAnySpace) {
  for (unsigned seed = 0; seed < 120; ++seed) {
    test::RandomProgram random(seed);
    const Dims space = seed % 3 == 0 ? Dims{6, 37} : seed % 3 == 1 ? Dims{2, 3, 41} : Dims{3, 2, 2, 8};
    MapSpec s = spec_of(random.program, space);
    for (DType& t : s.types)
      if (t == DType::f32) t = DType::f64;  // computes in f64: results do not depend on approximations
    const Dims last{space.back()};
    const std::vector<Array> in = {
        test::random_array(seed % 2 ? space : last, static_cast<int>(seed), DType::f64, -2, 2),
        test::random_array(seed % 5 ? space : last, 3, DType::i64, -3, 8),
        test::random_array(last, 4, DType::boolean, 0, 2), test::key(seed)};
    expect_equal_values(run("cpu", s, in), run("reference", s, in), 1e-9,
                        "seed " + std::to_string(seed) + " " + random.program.str());
  }
}

TEST(FusedMap, ReductionsBesideWholeResults) {
  tiles::Program p;
  const int32_t t = p.unary(Code::tanh, p.binary(Code::add, p.input(0), p.input(1)));
  const int32_t scaled = p.binary(Code::mul, t, p.input(2));
  p.results = {t, scaled, scaled, scaled, t, t};
  const std::vector<MapResult> results = {MapResult::map,      MapResult::sum_last,  MapResult::max_last,
                                          MapResult::min_last, MapResult::sum_first, MapResult::map};
  for (const Dims& space :
       {Dims{4, 20, 256}, {2, 300, 48}, {3, 5, 9000}, {2, 1, 1}, {0, 4, 8}, {4, 0, 8}, {1, 2000, 17}})
    for (int64_t outer : {0, 1}) {
      MapSpec s = spec_of(p, space, results, 1, outer);
      const std::vector<Array> in = {test::random_array({space[0], 1, space[2]}, 1),
                                     test::random_array(space, 2), test::random_array({space[2]}, 3)};
      if (space[2] == 0) continue;
      expect_equal_values(run("cpu", s, in), run("reference", s, in), 2e-6,
                          to_string(s.space) + " outer " + std::to_string(outer));
    }
}

TEST(FusedMap, SumsAreTrueToDouble) {
  tiles::Program p;
  p.results = {p.input(0), p.input(0)};
  MapSpec s = spec_of(p, {5000, 40}, {MapResult::sum_first, MapResult::sum_last});
  const Array x = test::random_array({5000, 40}, 3);
  const auto got = run("cpu", s, {x}), want = run("reference", s, {x.cast(DType::f64).cast(DType::f32)});
  for (size_t k = 0; k < 2; ++k)
    for (int64_t i = 0; i < got[k].size(); ++i) ASSERT_NEAR(got[k].get_flat(i), want[k].get_flat(i), 5e-5);
}

TEST(FusedMap, EqualBitsForAnyNumberOfThreads) {
  tiles::Program p = bias_gelu();
  p.results.push_back(p.results[0]);
  MapSpec s = spec_of(p, {300, 500}, {MapResult::map, MapResult::sum_first});
  const std::vector<Array> in = {test::random_array({300, 500}, 1), test::random_array({500}, 2)};
  const int before = num_threads();
  set_num_threads(1);
  const auto want = run("cpu", s, in);
  for (int threads : {2, 3, 8}) {
    set_num_threads(threads);
    const auto got = run("cpu", s, in);
    for (size_t k = 0; k < got.size(); ++k)
      EXPECT_EQ(std::memcmp(got[k].raw(), want[k].raw(), static_cast<size_t>(want[k].nbytes())), 0)
          << threads;
  }
  set_num_threads(before);
}

TEST(FusedMap, DropsWhatTheOpDropoutDrops) {
  constexpr double kP = 0.3;
  tiles::Program p;
  const auto below = static_cast<int64_t>(std::ceil(static_cast<double>(static_cast<float>(kP)) * (1 << 24)));
  const int32_t dropped = p.binary(Code::less, p.random(7, 1), p.integer(below * 256 - (int64_t{1} << 31)));
  p.results = {p.select(dropped, p.constant(0), p.binary(Code::mul, p.input(0), p.constant(1 / (1 - kP))))};
  const std::vector<Array> in = {test::random_array({9, 130}, 1), test::key(5)};
  const auto got = run("cpu", spec_of(p, {9, 130}), in);
  const auto want = test::run_op_on("cpu", "dropout", in, {{"p", kP}, {"ordinal", 7}});
  for (int64_t i = 0; i < got[0].size(); ++i) ASSERT_NEAR(got[0].get_flat(i), want[0].get_flat(i), 1e-6) << i;
}

}  // namespace
}  // namespace fovea
