// Row and column reductions against long double.
#include <gtest/gtest.h>

#include "ops/shared/simd/optimizer.h"
#include "ops/shared/simd/reduce.h"
#include "tests/unit/simd_test_util.h"

namespace fovea {
namespace {

using namespace simd_test;
using L = long double;

template <class T>
constexpr double kEps = std::is_same_v<T, double>  ? 2.3e-16
                        : std::is_same_v<T, float> ? 1.2e-7
                        : std::is_same_v<T, f16_t> ? 1e-3
                                                   : 8e-3;

template <class T>
std::vector<T> values(size_t n, unsigned seed) {
  const auto x = uniform_values<float>(n, -2, 2, seed);
  std::vector<T> y;
  for (float v : x) y.push_back(static_cast<T>(v));
  return y;
}

L reference(const std::string& op, const std::vector<L>& v, L* magnitude) {
  L y = op == "prod" ? 1 : op == "max" ? -HUGE_VALL : op == "min" ? HUGE_VALL : 0;
  *magnitude = 0;
  for (L x : v) {
    if (op == "sum") y += x, *magnitude += fabsl(x);
    if (op == "sum_squares") y += x * x, *magnitude += x * x;
    if (op == "prod") y *= x;
    if (op == "max") y = std::max(y, x);
    if (op == "min") y = std::min(y, x);
  }
  if (op == "prod") *magnitude = fabsl(y) * static_cast<L>(v.size());
  return y;
}

// Sums: error at most (32 + 6) roundings of the sum of magnitudes, however long the row; double lanes grow
// with n.
template <class T>
void check_rows_and_columns() {
  for (const char* op : {"sum", "sum_squares", "prod", "max", "min"}) {
    for (size_t n : {1, 2, 3, 7, 8, 15, 16, 17, 33, 63, 64, 65, 67, 129, 1000, 20000}) {
      if (std::string(op) == "prod" && n > 67) continue;
      const size_t rows = n > 5000 ? 2 : 5;
      const auto x = values<T>(rows * n + 1, static_cast<unsigned>(n));
      const T* base = x.data() + 1;  // unaligned
      std::vector<T> y(rows), transposed(rows * n), z(rows + 1);
      simd::find_reduce_rows(op, dtype_of<T>)(base, y.data(), rows, n);
      for (size_t r = 0; r < rows; ++r)
        for (size_t i = 0; i < n; ++i) transposed[i * rows + r] = base[r * n + i];
      simd::find_reduce_columns(op, dtype_of<T>)(transposed.data(), rows, z.data(), n, rows);
      for (size_t r = 0; r < rows; ++r) {
        std::vector<L> row;
        for (size_t i = 0; i < n; ++i) row.push_back(wide(base[r * n + i]));
        L magnitude;
        const L want = reference(op, row, &magnitude);
        const double roundings = std::is_same_v<T, double> ? static_cast<double>(n) / 4 + 10 : 38;
        const double compute = std::is_same_v<T, double> ? 1.2e-16 : 6e-8;
        const double subnormal = std::is_same_v<T, f16_t> ? 3e-8 : 0;
        const double bound = static_cast<double>(magnitude) * roundings * compute +
                             static_cast<double>(fabsl(want)) * kEps<T> / 2 + subnormal;
        EXPECT_NEAR(static_cast<double>(wide(y[r])), static_cast<double>(want), bound)
            << op << " row n = " << n;
        EXPECT_NEAR(static_cast<double>(wide(z[r])), static_cast<double>(want), bound)
            << op << " column n = " << n;
      }
    }
  }
}
TEST(SimdReduce, FloatingRowsAndColumns) {
  for_each_target([] {
    check_rows_and_columns<float>();
    check_rows_and_columns<double>();
    check_rows_and_columns<f16_t>();
    check_rows_and_columns<bf16_t>();
  });
}

TEST(SimdReduce, LongFloatSumStaysAccurate) {
  for_each_target([] {
    const size_t n = 1 << 20;
    const std::vector<float> x(n, 0.1f);
    float y;
    simd::find_reduce_rows("sum", DType::f32)(x.data(), &y, 1, n);
    EXPECT_NEAR(y, n * static_cast<double>(0.1f), 0.05);
    simd::find_reduce_columns("sum", DType::f32)(x.data(), 1, &y, n, 1);
    EXPECT_NEAR(y, n * static_cast<double>(0.1f), 0.05);
    EXPECT_NEAR(simd::sum_squares(x.data(), DType::f32, n), n * 0.01, 0.001);
  });
}

TEST(SimdReduce, ColumnsDoNotDependOnTheCut) {
  for_each_target([] {
    const size_t n = 77, cols = 601;
    const auto x = values<float>(n * cols, 3);
    for (const char* op : {"sum", "sum_squares", "max", "prod"}) {
      const auto f = simd::find_reduce_columns(op, DType::f32);
      std::vector<float> whole(cols), part(cols);
      f(x.data(), cols, whole.data(), n, cols);
      for (size_t width : {1, 3, 16, 50, 64, 530}) {
        for (size_t c = 0; c < cols; c += width)
          f(x.data() + c, cols, part.data() + c, n, std::min(width, cols - c));
        ASSERT_EQ(std::memcmp(whole.data(), part.data(), cols * sizeof(float)), 0)
            << op << " width " << width;
      }
    }
  });
}

TEST(SimdReduce, NanAndEmpty) {
  for_each_target([] {
    for (size_t n : sizes()) {
      if (n == 0) continue;
      for (size_t at : {size_t{0}, n / 2, n - 1}) {
        auto x = values<float>(n, 1);
        x[at] = NAN;
        float y = 0;
        for (const char* op : {"sum", "max", "min", "prod", "sum_squares"}) {
          simd::find_reduce_rows(op, DType::f32)(x.data(), &y, 1, n);
          EXPECT_TRUE(std::isnan(y)) << op << " n " << n;
          simd::find_reduce_columns(op, DType::f32)(x.data(), 1, &y, n, 1);
          EXPECT_TRUE(std::isnan(y)) << op << " n " << n;
        }
        int64_t i = -5;
        simd::find_arg_rows("argmax", DType::f32)(x.data(), &i, 1, n);
        EXPECT_EQ(i, static_cast<int64_t>(at));
        simd::find_arg_columns("argmin", DType::f32)(x.data(), 1, &i, n, 1);
        EXPECT_EQ(i, static_cast<int64_t>(at));
      }
    }
    float y = 5;
    simd::find_reduce_rows("sum", DType::f32)(nullptr, &y, 1, 0);
    EXPECT_EQ(y, 0);
    simd::find_reduce_rows("prod", DType::f32)(nullptr, &y, 1, 0);
    EXPECT_EQ(y, 1);
    simd::find_reduce_rows("max", DType::f32)(nullptr, &y, 1, 0);
    EXPECT_EQ(y, -HUGE_VALF);
    EXPECT_EQ(simd::find_reduce_rows("sum", DType::u8), nullptr);
    EXPECT_EQ(simd::find_reduce_rows("mode", DType::f32), nullptr);
  });
}

template <class T>
void check_integers() {
  for (size_t n : {1, 5, 16, 33, 130}) {
    std::mt19937 engine(static_cast<unsigned>(n));
    std::vector<T> x(n);
    for (auto& v : x) v = static_cast<T>(engine() % 2001) - 1000;
    T sum = 0, prod = 1, max = x[0], min = x[0];
    size_t arg_max = 0, arg_min = 0;
    for (size_t i = 0; i < n; ++i) {
      sum += x[i];
      prod = static_cast<T>(static_cast<uint64_t>(prod) * static_cast<uint64_t>(x[i]));
      if (x[i] > max) max = x[i], arg_max = i;
      if (x[i] < min) min = x[i], arg_min = i;
    }
    const std::pair<const char*, T> want[] = {{"sum", sum}, {"prod", prod}, {"max", max}, {"min", min}};
    for (const auto& [op, value] : want) {
      T y;
      simd::find_reduce_rows(op, dtype_of<T>)(x.data(), &y, 1, n);
      EXPECT_EQ(y, value) << op;
      simd::find_reduce_columns(op, dtype_of<T>)(x.data(), 1, &y, n, 1);
      EXPECT_EQ(y, value) << op;
    }
    int64_t i;
    simd::find_arg_rows("argmax", dtype_of<T>)(x.data(), &i, 1, n);
    EXPECT_EQ(i, static_cast<int64_t>(arg_max));
    simd::find_arg_rows("argmin", dtype_of<T>)(x.data(), &i, 1, n);
    EXPECT_EQ(i, static_cast<int64_t>(arg_min));
  }
}
TEST(SimdReduce, Integers) {
  for_each_target([] {
    check_integers<int32_t>();
    check_integers<int64_t>();
  });
}

TEST(SimdReduce, ArgTakesTheFirstOfEquals) {
  for_each_target([] {
    for (size_t n : {3, 17, 40, 200}) {
      std::vector<float> x(n, 1);
      x[n / 3] = x[n - 1] = 4;
      int64_t i;
      simd::find_arg_rows("argmax", DType::f32)(x.data(), &i, 1, n);
      EXPECT_EQ(i, static_cast<int64_t>(n / 3));
      simd::find_arg_rows("argmin", DType::f32)(x.data(), &i, 1, n);
      EXPECT_EQ(i, 0);
      std::vector<bf16_t> h;
      for (float v : x) h.push_back(bf16_t(v));
      simd::find_arg_columns("argmax", DType::bf16)(h.data(), 1, &i, n, 1);
      EXPECT_EQ(i, static_cast<int64_t>(n / 3));
    }
    // Several columns at once.
    const size_t n = 9, cols = 300;
    const auto x = values<double>(n * cols, 11);
    std::vector<int64_t> y(cols);
    simd::find_arg_columns("argmax", DType::f64)(x.data(), cols, y.data(), n, cols);
    for (size_t c = 0; c < cols; ++c)
      for (size_t r = 0; r < n; ++r) EXPECT_LE(x[r * cols + c], x[static_cast<size_t>(y[c]) * cols + c]);
  });
}

TEST(SimdReduce, AnyAll) {
  for_each_target([] {
    const uint8_t x[] = {0, 0, 0, 1, 1, 2, 0, 3, 0};
    uint8_t y[3];
    simd::find_reduce_rows("any", DType::boolean)(x, y, 3, 3);
    EXPECT_EQ(std::vector<int>(y, y + 3), (std::vector<int>{0, 1, 1}));
    simd::find_reduce_rows("all", DType::boolean)(x, y, 3, 3);
    EXPECT_EQ(std::vector<int>(y, y + 3), (std::vector<int>{0, 1, 0}));
    simd::find_reduce_columns("any", DType::u8)(x, 3, y, 3, 3);
    EXPECT_EQ(std::vector<int>(y, y + 3), (std::vector<int>{1, 1, 1}));
    simd::find_reduce_columns("all", DType::u8)(x, 3, y, 2, 3);
    EXPECT_EQ(std::vector<int>(y, y + 3), (std::vector<int>{0, 0, 0}));
    simd::find_reduce_rows("all", DType::u8)(x, y, 1, 0);
    EXPECT_EQ(y[0], 1);
  });
}

}  // namespace
}  // namespace fovea
