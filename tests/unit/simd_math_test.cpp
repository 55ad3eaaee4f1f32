// Largest errors of the elementary functions against long double, and their special values.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "ops/shared/simd/pointwise.h"
#include "tests/unit/simd_test_util.h"

namespace fovea {
namespace {

using namespace simd_test;
using L = long double;

struct Case {
  const char* op;
  L (*exact)(L);
  double low, high;
  double bound_f32, bound_f64;  // ulp
};

const L kPi = 3.14159265358979323846264338327950288L;

L gelu(L x) { return 0.5L * x * erfcl(-x / sqrtl(2)); }
L gelu_tanh(L x) { return 0.5L * x * (1 + tanhl(sqrtl(2 / kPi) * (x + 0.044715L * x * x * x))); }
L sigmoid(L x) { return 1 / (1 + expl(-x)); }
L silu(L x) { return x / (1 + expl(-x)); }
L softplus(L x) { return std::max(x, 0.0L) + log1pl(expl(-fabsl(x))); }

const Case kCases[] = {
    {"exp", expl, -87, 88.7, 1.1, 1.1},
    {"exp", expl, -104, -86, 1.1, 1.1},
    {"exp", expl, -1, 1, 1.1, 1.1},
    {"log", logl, 0, 1e4, 1.0, 1.0},
    {"log", logl, 0.5, 2, 1.0, 1.0},
    {"expm1", expm1l, -30, 88, 2, 2},
    {"expm1", expm1l, -1, 1, 2, 2},
    {"log1p", log1pl, -0.99, 100, 2, 2},
    {"log1p", log1pl, -0.1, 0.1, 2, 2},
    {"tanh", tanhl, -12, 12, 3, 3},
    {"tanh", tanhl, -0.5, 0.5, 3, 3},
    {"erf", erfl, -6.5, 6.5, 2.5, 3},
    {"erf", erfl, -1.1, 1.1, 2.5, 3},
    {"sigmoid", sigmoid, -80, 40, 3, 3},
    {"silu", silu, -80, 40, 3, 3},
    {"softplus", softplus, -80, 40, 3, 3},
    {"sin", sinl, -3.2, 3.2, 3, 3},
    {"cos", cosl, -3.2, 3.2, 3, 3},
    {"sin", sinl, -30000, 30000, 3, 3},
    {"cos", cosl, -30000, 30000, 3, 3},
    {"tan", tanl, -1.5, 1.5, 6, 6},
    {"sin", sinl, 1e5, 1e9, 1, 1},
    {"rsqrt", [](L x) { return 1 / sqrtl(x); }, 1e-6, 1e6, 1.5, 1.5},
    {"sqrt", sqrtl, 0, 1e6, 0.5, 0.5},
    {"reciprocal", [](L x) { return 1 / x; }, 0.1, 1e6, 0.5, 0.5},
    {"square", [](L x) { return x * x; }, -10, 10, 0.5, 0.5},
    {"gelu", gelu, 0, 10, 3, 3},
    {"gelu_tanh", gelu_tanh, 0, 10, 4, 4},
};

template <class T>
double worst(const Case& c, double* at) {
  const auto x = uniform_values<T>(20011, c.low, c.high);
  std::vector<T> y(x.size());
  simd::find_unary(c.op, dtype_of<T>)(x.data(), y.data(), x.size());
  double most = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double error = ulps<T>(y[i], c.exact(static_cast<L>(x[i])));
    if (error > most) most = error, *at = static_cast<double>(x[i]);
  }
  return most;
}

TEST(SimdMath, ErrorsStayBelowTheStatedBounds) {
  for_each_target([] {
    for (const Case& c : kCases) {
      double at = 0;
      const double f32 = worst<float>(c, &at);
      EXPECT_LE(f32, c.bound_f32) << c.op << " f32 at " << at;
      const double f64 = worst<double>(c, &at);
      EXPECT_LE(f64, c.bound_f64) << c.op << " f64 at " << at;
      if (std::getenv("FOVEA_TEST_PRINT") != nullptr)
        std::printf("%-12s [%g, %g]  f32 %.2f  f64 %.2f ulp\n", c.op, c.low, c.high, f32, f64);
    }
  });
}

// The left tail of GELU cancels in the formula itself: there the error is relative to |x|.
TEST(SimdMath, GeluLeftTailHasSmallAbsoluteError) {
  for_each_target([] {
    const auto x = uniform_values<float>(5000, -12, 0);
    for (const char* op : {"gelu", "gelu_tanh"}) {
      std::vector<float> y(x.size());
      simd::find_unary(op, DType::f32)(x.data(), y.data(), x.size());
      for (size_t i = 0; i < x.size(); ++i) {
        const L want = std::string(op) == "gelu" ? gelu(x[i]) : gelu_tanh(x[i]);
        EXPECT_NEAR(y[i], static_cast<double>(want), 2e-7 * std::fabs(x[i])) << op << " at " << x[i];
      }
    }
  });
}

template <class T>
void check_specials() {
  struct Exact {
    const char* op;
    L (*exact)(L);
  };
  const Exact ops[] = {{"exp", expl},         {"log", logl},     {"expm1", expm1l},      {"log1p", log1pl},
                       {"tanh", tanhl},       {"erf", erfl},     {"sin", sinl},          {"cos", cosl},
                       {"sigmoid", sigmoid},  {"floor", floorl}, {"ceil", ceill},        {"sqrt", sqrtl},
                       {"round", nearbyintl}, {"abs", fabsl},    {"softplus", softplus}, {"tan", tanl}};
  const auto x = specials<T>();
  for (const auto& op : ops) {
    std::vector<T> y(x.size());
    simd::find_unary(op.op, dtype_of<T>)(x.data(), y.data(), x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      const L want = op.exact(static_cast<L>(x[i]));
      EXPECT_LE(ulps<T>(y[i], want), 3) << op.op << "(" << x[i] << ") = " << y[i];
      if (want == 0 && x[i] == 0) {
        EXPECT_EQ(std::signbit(y[i]), std::signbit(static_cast<T>(want))) << op.op << " of zero " << x[i];
      }
    }
  }
}
TEST(SimdMath, SpecialValues) {
  for_each_target([] {
    check_specials<float>();
    check_specials<double>();
  });
}

template <class T>
void check_exp_edges() {
  using Lim = std::numeric_limits<T>;
  const std::vector<T> x = {-Lim::infinity(), Lim::infinity(), Lim::quiet_NaN(), T(-1e30), T(1e30)};
  std::vector<T> y(x.size());
  simd::find_unary("exp", dtype_of<T>)(x.data(), y.data(), x.size());
  EXPECT_TRUE(same_bits(y[0], T(0)));
  EXPECT_EQ(y[1], Lim::infinity());
  EXPECT_TRUE(std::isnan(y[2]));
  EXPECT_TRUE(same_bits(y[3], T(0)));
  EXPECT_EQ(y[4], Lim::infinity());
}
TEST(SimdMath, ExpEdges) {
  for_each_target([] {
    check_exp_edges<float>();
    check_exp_edges<double>();
  });
}

template <class T>
void check_pow(double bound) {
  const size_t n = 20000;
  const auto a = uniform_values<T>(n, 0, 20, 3), b = uniform_values<T>(n, -12, 12, 4);
  std::vector<T> y(n);
  const auto pow = simd::find_binary("pow", dtype_of<T>);
  pow(a.data(), b.data(), y.data(), n, 0);
  for (size_t i = 0; i < n; ++i) EXPECT_LE(ulps<T>(y[i], powl(a[i], b[i])), bound) << a[i] << " ^ " << b[i];
  for (T base : specials<T>()) {
    std::vector<T> exponents = specials<T>();
    exponents.push_back(3);
    std::vector<T> z(exponents.size());
    pow(&base, exponents.data(), z.data(), z.size(), simd::kScalarA);
    for (size_t i = 0; i < z.size(); ++i)
      EXPECT_LE(ulps<T>(z[i], powl(base, exponents[i])), 1) << base << " ^ " << exponents[i] << " = " << z[i];
  }
}
TEST(SimdMath, Pow) {
  for_each_target([] {
    check_pow<float>(0.51);
    check_pow<double>(1);
  });
}

}  // namespace
}  // namespace fovea
