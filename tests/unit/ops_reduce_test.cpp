// Reductions, cumulative ops and sorting: values against plain loops in double, layouts, special values,
// shapes with symbols.
#include <algorithm>
#include <cmath>
#include <limits>

#include "framework/runtime/thread_pool.h"
#include "frontends/cpp/trace.h"
#include "generated/ops.h"
#include "tests/unit/ops_test_util.h"

namespace fovea {
namespace {

using namespace test;

constexpr float kInf = std::numeric_limits<float>::infinity();
const float kNan = std::nanf("");

// Reduces x over `axes` with fold(values of one result).
std::vector<double> folded(const Array& x, const Ints& axes,
                           const std::function<double(const std::vector<double>&)>& fold) {
  Dims kept = x.shape();
  for (int64_t a : axes) kept[a] = 1;
  std::vector<std::vector<double>> groups(product(kept));
  each_index(x.shape(), [&](const Dims& index, int64_t i) {
    Dims to = index;
    for (int64_t a : axes) to[a] = 0;
    groups[flat(kept, to)].push_back(x.get_flat(i));
  });
  std::vector<double> out;
  for (const auto& g : groups) out.push_back(fold(g));
  return out;
}

double total(const std::vector<double>& v) {
  double s = 0;
  for (double x : v) s += x;
  return s;
}
double mean_of(const std::vector<double>& v) { return total(v) / static_cast<double>(v.size()); }
double var_of(const std::vector<double>& v) {
  double s = 0, m = mean_of(v);
  for (double x : v) s += (x - m) * (x - m);
  return s / static_cast<double>(v.size());
}
double lse_of(const std::vector<double>& v) {
  const double m = *std::max_element(v.begin(), v.end());
  double s = 0;
  for (double x : v) s += std::exp(x - m);
  return std::log(s) + m;
}

struct Case {
  std::string op;
  std::function<double(const std::vector<double>&)> fold;
};
const Case kCases[] = {
    {"sum", total},
    {"max", [](auto& v) { return *std::max_element(v.begin(), v.end()); }},
    {"min", [](auto& v) { return *std::min_element(v.begin(), v.end()); }},
    {"prod",
     [](auto& v) {
       double p = 1;
       for (double x : v) p *= x;
       return p;
     }},
    {"mean", mean_of},
    {"var", var_of},
    {"logsumexp", lse_of},
};

// Shapes chosen for rows, columns, both, cut pieces, odd sizes.
struct Layout {
  Dims shape;
  Ints axes;
};
const Layout kLayouts[] = {
    {{7}, {0}},
    {{3, 5}, {1}},
    {{3, 5}, {0}},
    {{3, 5}, {0, 1}},
    {{4, 3, 5}, {1}},
    {{4, 3, 5}, {0, 2}},
    {{2, 3, 4, 5}, {1, 3}},
    {{2, 3, 4, 5}, {0, 2}},
    {{1, 6, 1, 3}, {0, 1, 2}},
    {{2, 300, 700}, {1}},
    {{70001}, {0}},
    {{700, 300}, {0}},
    {{3, 40001}, {1}},
    {{2, 3, 1}, {2}},
    {{33, 1000, 7}, {0, 2}},
};

TEST(Reduce, ValuesOverEveryKindOfAxis) {
  for (const Case& c : kCases)
    for (const Layout& l : kLayouts) {
      // Near 1, so that long products stay in range.
      const bool product_like = c.op == "prod";
      const int64_t n = product(l.shape);
      const double spread = product_like ? 2.0 / std::sqrt(static_cast<double>(n)) : 1;
      for (DType dtype : {DType::f32, DType::f64}) {
        const Array x =
            random_array(l.shape, 3, dtype, product_like ? 1 - spread / 2 : -spread, 1 + spread / 2);
        const auto want = folded(x, l.axes, c.fold);
        const double tolerance = dtype == DType::f64 ? 1e-11
                                 : product_like      ? 2e-4
                                 : c.op == "sum"     ? 3e-6
                                                     : 2e-6;
        const std::string what = c.op + " over " + to_string(l.axes) + " of " + to_string(l.shape);
        Dims kept = l.shape;
        for (int64_t a : l.axes) kept[a] = 1;
        for (const char* backend : {"cpu", "reference"})
          expect_values(run_op_on(backend, c.op, {x}, {{"axes", l.axes}, {"keepdims", true}})[0], kept, want,
                        tolerance, what + " on " + backend);
      }
    }
}

TEST(Reduce, StridedOperandsAndNegativeAxes) {
  const Array base = random_array({6, 5, 4}, 5);
  const Array view = base.transpose(0, 2).slice(1, 4, 0, -2);  // [4, 2, 6]
  const auto want = folded(view, {0, 2}, total);
  expect_values(sum(view, {-3, -1}).array(), {2}, want, 1e-6, "sum of a strided view");
  expect_values(run_op_on("reference", "sum", {view}, {{"axes", Ints{0, 2}}})[0], {2}, want, 1e-6,
                "reference");
  expect_values(max(view.broadcast_to({3, 4, 2, 6}), {0, 1, 3}).array(), {2},
                folded(view, {0, 2}, [](auto& v) { return *std::max_element(v.begin(), v.end()); }), 0,
                "max of a broadcast");
}

TEST(Reduce, EmptyAxes) {
  const Array none(DType::f32, {3, 0});
  expect_values(sum(none, {1}).array(), {3}, {0, 0, 0}, 0, "sum of nothing");
  expect_values(prod(none, {1}).array(), {3}, {1, 1, 1}, 0, "product of nothing");
  expect_values(mean(none, {1}).array(), {3}, {kNan, kNan, kNan}, 0, "mean of nothing");
  expect_values(sum(none, {0}).array(), {0}, {}, 0, "no results");
  expect_values(max(none, {0}).array(), {0}, {}, 0, "no results");
  expect_error([&] { max(none, {1}); }, "axis 1 has size 0: there is no largest element");
  const Array no_bools(DType::boolean, {2, 0});
  expect_values(all(no_bools, {1}).array(), {2}, {1, 1}, 0, "all of nothing");
  expect_values(any(no_bools, {1}).array(), {2}, {0, 0}, 0, "any of nothing");
}

TEST(Reduce, SpecialValues) {
  const Array x = Array::of<float>({1, kNan, 3, -kInf, -kInf, -kInf, kInf, 2, -kInf}, {3, 3});
  for (const char* backend : {"cpu", "reference"}) {
    expect_values(run_op_on(backend, "max", {x}, {{"axes", Ints{1}}})[0], {3}, {kNan, -kInf, kInf}, 0, "max");
    expect_values(run_op_on(backend, "min", {x}, {{"axes", Ints{1}}})[0], {3}, {kNan, -kInf, -kInf}, 0,
                  "min");
    expect_values(run_op_on(backend, "logsumexp", {x}, {{"axes", Ints{1}}})[0], {3}, {kNan, -kInf, kInf}, 0,
                  "logsumexp");
    expect_values(run_op_on(backend, "argmax", {x})[0], {3}, {1, 0, 0}, 0, "argmax");
    expect_values(run_op_on(backend, "argmin", {x})[0], {3}, {1, 0, 2}, 0, "argmin");
  }
}

TEST(Reduce, IntegersWrapAndKeepTheirType) {
  const Array x = Array::of<int32_t>({2147483647, 1, 5, -7}, {2, 2});
  const Array s = sum(x, {1}).array();
  EXPECT_EQ(s.dtype(), DType::i32);
  expect_values(s, {2}, {-2147483648.0, -2}, 0, "sum");
  const int64_t low = std::numeric_limits<int64_t>::min();
  EXPECT_EQ(min(Array::of<int64_t>({3, low, 9}, {3})).array().data<int64_t>()[0], low);
  EXPECT_EQ(max(Array::of<int64_t>({low, low}, {2})).array().data<int64_t>()[0], low);
  expect_values(min(Array::of<uint8_t>({7, 255, 0, 4}, {4})).array(), {}, {0}, 0, "min of u8");
  EXPECT_EQ(mean(Array::of<int32_t>({1, 2}, {2})).item(), 1.5);
}

TEST(Reduce, SumsOfManyFloatsStayExact) {
  // 2^24 + many ones is beyond what one float accumulator counts.
  const Array ones = Array::full(DType::f32, {5000011}, 1.0);
  EXPECT_EQ(sum(ones).item(), 5000011.0);
  const Array half = Array::full(DType::bf16, {4096}, 1.0);
  EXPECT_EQ(sum(half).item(), 4096.0);
  EXPECT_EQ(mean(Array::full(DType::f16, {100000}, 3.0)).item(), 3.0);
}

TEST(Reduce, EqualBitsForAnyNumberOfThreads) {
  const Array x = random_array({300, 1111}, 9);
  const int before = num_threads();
  std::vector<std::vector<float>> sums;
  for (int threads : {1, 2, 5}) {
    set_num_threads(threads);
    auto s = sum(x).array().to_vector<float>(), c = sum(x, {0}).array().to_vector<float>();
    s.insert(s.end(), c.begin(), c.end());
    sums.push_back(s);
  }
  set_num_threads(before);
  EXPECT_EQ(sums[0], sums[1]);
  EXPECT_EQ(sums[0], sums[2]);
}

TEST(Reduce, SymbolicShapes) {
  const Dim b = Dim::symbol("B"), l = Dim::symbol("L");
  const TensorType x{DType::f32, {b, l, 8}};
  EXPECT_EQ(infer("sum", {x}, {{"axes", Ints{-1}}})[0], "f32[B, L]");
  EXPECT_EQ(infer("max", {x}, {{"axes", Ints{1}}, {"keepdims", true}})[0], "f32[B, 1, 8]");
  EXPECT_EQ(infer("mean", {x}, {})[0], "f32[]");
  EXPECT_EQ(infer("argmax", {x}, {{"axis", 1}})[0], "i64[B, 8]");
  EXPECT_EQ(infer("top_k", {x}, {{"k", 3}}), (std::vector<std::string>{"f32[B, L, 3]", "i64[B, L, 3]"}));
}

TEST(Reduce, MeanOverASymbolicAxisDividesByItsSize) {
  auto program = test::program_of("mean", {{DType::f32, {Dim::symbol("B"), 2}}}, {{"axes", Ints{0}}}, "cpu");
  expect_values(program.run({Array::of<float>({1, 2, 3, 4, 8, 12}, {3, 2})})[0], {2}, {4, 6}, 1e-6, "B = 3");
  expect_values(program.run({Array::of<float>({1, 2}, {1, 2})})[0], {2}, {1, 2}, 1e-6, "B = 1");
}

// The gradient of sum(w * op(x)), reduced along axis 1.
Array gradient_along_rows(const char* op, const Array& x, const Array& w) {
  const Function f = [&](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{sum(apply1(op, {in[0]}, {{"axes", Ints{1}}}) * in[1])};
  };
  return compile(grad(f))({x, w})[0].array();
}

TEST(Reduce, TiesShareTheGradientOfMax) {
  const Array x = Array::of<double>({2, 5, 5, 1, 5, 0}, {2, 3});
  expect_values(gradient_along_rows("max", x, Array::of<double>({1, 10}, {2})), {2, 3},
                {0, 0.5, 0.5, 0, 10, 0}, 1e-12, "ties");
}

TEST(Reduce, LogsumexpOfAMaskedRowHasNoGradient) {
  const Array x = Array::of<double>({-kInf, -kInf, 0, 0}, {2, 2});
  expect_values(gradient_along_rows("logsumexp", x, Array::of<double>({1, 1}, {2})), {2, 2}, {0, 0, 0.5, 0.5},
                1e-12, "masked");
}

TEST(Reduce, GradientOfAProductWithZeros) {
  const Array x = Array::of<double>({0, 3, 4, 0, 0, 5, 2, 3, 4}, {3, 3});
  expect_values(gradient_along_rows("prod", x, Array::of<double>({1, 1, 1}, {3})), {3, 3},
                {12, 0, 0, 0, 0, 0, 12, 8, 6}, 1e-12, "zeros");
}

TEST(Cumulative, SumsAndProductsBothWays) {
  const Array x = random_array({3, 5, 4}, 11, DType::f32, 0.5, 1.5);
  for (int64_t axis = 0; axis < 3; ++axis) {
    std::vector<double> up(x.size()), down(x.size()), times(x.size());
    each_index(x.shape(), [&](const Dims& index, int64_t i) {
      double s = 0, r = 0, p = 1;
      Dims at = index;
      for (at[axis] = 0; at[axis] < x.shape()[axis]; ++at[axis]) {
        const double v = x.get_flat(flat(x.shape(), at));
        if (at[axis] <= index[axis]) s += v, p *= v;
        if (at[axis] >= index[axis]) r += v;
      }
      up[i] = s, down[i] = r, times[i] = p;
    });
    for (const char* backend : {"cpu", "reference"}) {
      expect_values(run_op_on(backend, "cumsum", {x}, {{"axis", axis}})[0], x.shape(), up, 1e-6, "cumsum");
      expect_values(run_op_on(backend, "cumsum", {x}, {{"axis", axis}, {"reverse", true}})[0], x.shape(),
                    down, 1e-6, "reverse");
      expect_values(run_op_on(backend, "cumprod", {x}, {{"axis", axis}})[0], x.shape(), times, 1e-6,
                    "cumprod");
    }
  }
}

TEST(Sort, StableAndNanLast) {
  const Array x = Array::of<float>({3, 1, kNan, 1, -kInf, 3}, {6});
  const Sorted up = sort(x), down = sort(x, -1, true);
  expect_values(up.values.array(), {6}, {-kInf, 1, 1, 3, 3, kNan}, 0, "ascending");
  expect_values(up.indices.array(), {6}, {4, 1, 3, 0, 5, 2}, 0, "ascending indices");
  expect_values(down.values.array(), {6}, {kNan, 3, 3, 1, 1, -kInf}, 0, "descending");
  expect_values(down.indices.array(), {6}, {2, 0, 5, 1, 3, 4}, 0, "descending indices");
}

TEST(Sort, AlongAnyAxisOfAView) {
  const Array x = random_array({4, 5, 300}, 13).transpose(0, 2);  // [300, 5, 4]
  for (int64_t axis = 0; axis < 3; ++axis) {
    const Sorted s = sort(x, axis);
    const Array v = s.values.array(), k = s.indices.array();
    each_index(x.shape(), [&](const Dims& index, int64_t i) {
      Dims from = index;
      from[axis] = static_cast<int64_t>(k.get_flat(i));
      EXPECT_EQ(v.get_flat(i), x.get_flat(flat(x.shape(), from)));
      if (index[axis] > 0) {
        Dims before = index;
        --before[axis];
        EXPECT_LE(v.get_flat(flat(x.shape(), before)), v.get_flat(i));
      }
    });
  }
}

TEST(Sort, TopK) {
  const Array x = Array::of<float>({5, 1, 5, 3, 2, 8, 0, 8}, {2, 4});
  const Sorted best = top_k(x, 2), least = top_k(x, 3, -1, false), none = top_k(x, 0);
  expect_values(best.values.array(), {2, 2}, {5, 5, 8, 8}, 0, "largest");
  expect_values(best.indices.array(), {2, 2}, {0, 2, 1, 3}, 0, "where");
  expect_values(least.values.array(), {2, 3}, {1, 3, 5, 0, 2, 8}, 0, "smallest");
  EXPECT_EQ(none.values.array().shape(), (Dims{2, 0}));
  expect_error([&] { top_k(x, 5); }, "k = 5 is out of range for axis 1 of size 4");
  // A symbolic size is only known when the plan is made.
  auto program = test::program_of("top_k", {{DType::f32, {Dim::symbol("N")}}}, {{"k", 3}}, "cpu");
  expect_error(
      [&] {
        program.run({Array::of<float>({1, 2}, {2})});
      },
      "k = 3 is out of range for an axis of size 2");
}

}  // namespace
}  // namespace fovea
