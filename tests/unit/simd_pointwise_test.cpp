// Contiguous element loops: values, special values, cutting, alignment, scalar operands, casts.
#include <gtest/gtest.h>

#include <functional>

#include "ops/shared/simd/pointwise.h"
#include "tests/unit/simd_test_util.h"

namespace fovea {
namespace {

using namespace simd_test;

const char* const kUnaryOps[] = {"neg",      "exp",        "log",     "sqrt",  "rsqrt", "sin",       "cos",
                                 "tan",      "tanh",       "erf",     "floor", "ceil",  "round",     "abs",
                                 "sign",     "reciprocal", "sigmoid", "relu",  "gelu",  "gelu_tanh", "silu",
                                 "softplus", "log1p",      "expm1",   "square"};
const char* const kBinaryOps[] = {"add",
                                  "sub",
                                  "mul",
                                  "div",
                                  "maximum",
                                  "minimum",
                                  "pow",
                                  "mod",
                                  "gelu_backward",
                                  "gelu_tanh_backward",
                                  "silu_backward",
                                  "tanh_backward",
                                  "sigmoid_backward",
                                  "relu_backward"};
const DType kFloating[] = {DType::f32, DType::f64, DType::f16, DType::bf16};

// Random bytes of `dtype` that are ordinary numbers.
std::vector<char> ordinary(DType dtype, size_t n, unsigned seed) {
  const auto values = uniform_values<float>(n, -4, 4, seed);
  std::vector<char> bytes(n * size_of(dtype));
  simd::find_cast(DType::f32, dtype)(values.data(), bytes.data(), n);
  return bytes;
}

// Every op, every size, odd addresses and any cut give the bits of one long run, and touch nothing else.
TEST(SimdPointwise, UnaryDoesNotDependOnCutsOrAlignment) {
  for_each_target([] {
    for (const char* op : kUnaryOps) {
      for (DType t : kFloating) {
        const size_t w = size_of(t), n = 1100;
        const auto f = simd::find_unary(op, t);
        ASSERT_NE(f, nullptr) << op;
        const auto x = ordinary(t, n, 7);
        std::vector<char> want(n * w), y(n * w + 64);
        f(x.data(), want.data(), n);
        for (size_t m : {1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 67, 511, 513}) {
          std::fill(y.begin(), y.end(), 0x5A);
          for (size_t at : {size_t{0}, size_t{1}, size_t{13}, n - m}) {
            f(x.data() + at * w, y.data() + w, m);  // destination starts one element off
            ASSERT_EQ(std::memcmp(y.data() + w, want.data() + at * w, m * w), 0)
                << op << " " << m << " at " << at;
            ASSERT_EQ(y[0], 0x5A);
            ASSERT_EQ(y[(m + 1) * w], 0x5A) << op << " wrote behind its end, n = " << m;
          }
        }
        std::vector<char> in_place = x;
        f(in_place.data(), in_place.data(), n);
        ASSERT_EQ(in_place, want) << op;
        f(nullptr, nullptr, 0);
      }
    }
  });
}

TEST(SimdPointwise, BinaryDoesNotDependOnCutsOrScalarOperands) {
  for_each_target([] {
    for (const char* op : kBinaryOps) {
      for (DType t : kFloating) {
        const size_t w = size_of(t), n = 1100;
        const auto f = simd::find_binary(op, t);
        ASSERT_NE(f, nullptr) << op;
        const auto a = ordinary(t, n, 7), b = ordinary(t, n, 8);
        std::vector<char> want(n * w), y(n * w + 64), wide(n * w);
        f(a.data(), b.data(), want.data(), n, 0);
        for (size_t m : {1, 3, 7, 8, 16, 17, 33, 67, 513}) {
          std::fill(y.begin(), y.end(), 0x5A);
          f(a.data() + 5 * w, b.data() + 5 * w, y.data() + w, m, 0);
          ASSERT_EQ(std::memcmp(y.data() + w, want.data() + 5 * w, m * w), 0) << op << " " << m;
          ASSERT_EQ(y[(m + 1) * w], 0x5A);
          // A scalar operand equals a vector of that value.
          for (size_t i = 0; i < m; ++i) std::memcpy(wide.data() + i * w, b.data() + 3 * w, w);
          std::vector<char> p(m * w), q(m * w);
          f(a.data(), wide.data(), p.data(), m, 0);
          f(a.data(), b.data() + 3 * w, q.data(), m, simd::kScalarB);
          ASSERT_EQ(p, q) << op << " scalar b";
          f(wide.data(), a.data(), p.data(), m, 0);
          f(b.data() + 3 * w, a.data(), q.data(), m, simd::kScalarA);
          ASSERT_EQ(p, q) << op << " scalar a";
        }
      }
    }
  });
}

template <class T>
std::vector<T> run1(const char* op, const std::vector<T>& x) {
  std::vector<T> y(x.size());
  simd::find_unary(op, dtype_of<T>)(x.data(), y.data(), x.size());
  return y;
}

TEST(SimdPointwise, SimpleUnaryValues) {
  for_each_target([] {
    const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
    EXPECT_EQ(run1<float>("round", {0.5f, 1.5f, 2.5f, -0.5f, 3.2f}), (std::vector<float>{0, 2, 2, -0.0f, 3}));
    const auto sign = run1<float>("sign", {-3, 0, 5, -inf, inf, nan});
    EXPECT_EQ(std::vector<float>(sign.begin(), sign.end() - 1), (std::vector<float>{-1, 0, 1, -1, 1}));
    EXPECT_TRUE(std::isnan(sign[5]));
    const auto relu = run1<float>("relu", {-3, 0, 5, -inf, inf, nan});
    EXPECT_EQ(std::vector<float>(relu.begin(), relu.end() - 1), (std::vector<float>{0, 0, 5, 0, inf}));
    EXPECT_TRUE(std::isnan(relu[5]));
    EXPECT_EQ(run1<int32_t>("abs", {-3, 4}), (std::vector<int32_t>{3, 4}));
    EXPECT_EQ(run1<int64_t>("neg", {-3, int64_t{1} << 40}), (std::vector<int64_t>{3, -(int64_t{1} << 40)}));
    EXPECT_EQ(run1<int64_t>("sign", {-3, 0, 9}), (std::vector<int64_t>{-1, 0, 1}));
    EXPECT_EQ(run1<int32_t>("square", {-3, 7}), (std::vector<int32_t>{9, 49}));
    EXPECT_EQ(run1<uint8_t>("logical_not", {0, 1, 7}), (std::vector<uint8_t>{1, 0, 0}));

    const std::vector<double> x = {0, nan, inf, -inf, 3};
    std::vector<uint8_t> y(5);
    simd::find_unary("is_nan", DType::f64)(x.data(), y.data(), 5);
    EXPECT_EQ(y, (std::vector<uint8_t>{0, 1, 0, 0, 0}));
    simd::find_unary("is_inf", DType::f64)(x.data(), y.data(), 5);
    EXPECT_EQ(y, (std::vector<uint8_t>{0, 0, 1, 1, 0}));
    simd::find_unary("logical_not", DType::f64)(x.data(), y.data(), 5);
    EXPECT_EQ(y, (std::vector<uint8_t>{1, 0, 0, 0, 0}));
    EXPECT_EQ(simd::find_unary("no_such_op", DType::f32), nullptr);
    EXPECT_EQ(simd::find_unary("exp", DType::i32), nullptr);
  });
}

template <class T>
std::vector<T> run2(const char* op, const std::vector<T>& a, const std::vector<T>& b) {
  std::vector<T> y(a.size());
  simd::find_binary(op, dtype_of<T>)(a.data(), b.data(), y.data(), a.size(), 0);
  return y;
}

TEST(SimdPointwise, BinaryValues) {
  for_each_target([] {
    const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
    for (const char* op : {"maximum", "minimum"}) {
      const auto y = run2<float>(op, {nan, 1, 3, nan, -inf}, {1, nan, 2, nan, inf});
      EXPECT_TRUE(std::isnan(y[0]) && std::isnan(y[1]) && std::isnan(y[3])) << op;
      EXPECT_EQ(y[2], op[1] == 'a' ? 3 : 2);
      EXPECT_EQ(y[4], op[1] == 'a' ? inf : -inf);
    }
    EXPECT_EQ(run2<double>("mod", {7, -7, 7, -7, -1}, {3, 3, -3, -3, HUGE_VAL}),
              (std::vector<double>{1, 2, -2, -1, HUGE_VAL}));
    EXPECT_EQ(run2<int32_t>("mod", {7, -7, 7, -7, 5, INT32_MIN}, {3, 3, -3, -3, 0, -1}),
              (std::vector<int32_t>{1, 2, -2, -1, 0, 0}));
    EXPECT_EQ(run2<int64_t>("mul", {int64_t{1} << 33, -5}, {3, 7}),
              (std::vector<int64_t>{int64_t{3} << 33, -35}));
    EXPECT_EQ(run2<int64_t>("maximum", {-1, 9}, {int64_t{-1} << 40, 10}), (std::vector<int64_t>{-1, 10}));
    EXPECT_EQ(run2<int32_t>("sub", {1, INT32_MIN}, {2, 1}), (std::vector<int32_t>{-1, INT32_MAX}));
    EXPECT_EQ(run2<uint8_t>("logical_xor", {0, 1, 2, 0}, {0, 0, 1, 9}), (std::vector<uint8_t>{0, 1, 0, 1}));
    EXPECT_EQ(run2<uint8_t>("logical_and", {0, 1, 2, 0}, {0, 0, 1, 9}), (std::vector<uint8_t>{0, 0, 1, 0}));
    EXPECT_EQ(run2<uint8_t>("logical_or", {0, 1, 2, 0}, {0, 0, 1, 9}), (std::vector<uint8_t>{0, 1, 1, 1}));
    EXPECT_EQ(simd::find_binary("div", DType::i32), nullptr);
  });
}

// Each backward op is g times the central difference of its function, in double.
TEST(SimdPointwise, BackwardMatchesNumericDerivative) {
  using F = std::function<double(double)>;
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  struct Case {
    const char* op;
    F f;
    bool from_output;  // takes y = f(x) in place of x
  };
  const Case cases[] = {
      {"gelu_backward", [](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }, false},
      {"gelu_tanh_backward",
       [](double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); },
       false},
      {"silu_backward", [&](double x) { return x * sigmoid(x); }, false},
      {"relu_backward", [](double x) { return x > 0 ? x : 0; }, false},
      {"tanh_backward", [](double x) { return std::tanh(x); }, true},
      {"sigmoid_backward", sigmoid, true},
  };
  for_each_target([&] {
    const auto x = uniform_values<double>(301, -5, 5), g = uniform_values<double>(301, -2, 2, 9);
    for (const auto& c : cases) {
      std::vector<double> a(x.size());
      for (size_t i = 0; i < x.size(); ++i) a[i] = c.from_output ? c.f(x[i]) : x[i];
      const auto dx = run2<double>(c.op, a, g);
      const auto dx32 =
          run2<float>(c.op, std::vector<float>(a.begin(), a.end()), std::vector<float>(g.begin(), g.end()));
      for (size_t i = 0; i < x.size(); ++i) {
        if (std::fabs(x[i]) < 1e-4) continue;
        const double want = g[i] * (c.f(x[i] + 1e-6) - c.f(x[i] - 1e-6)) / 2e-6;
        EXPECT_NEAR(dx[i], want, 1e-8 * (1 + std::fabs(x[i]))) << c.op << " at " << x[i];
        EXPECT_NEAR(dx32[i], want, 2e-6 * (1 + std::fabs(x[i]))) << c.op << " at " << x[i];
      }
    }
  });
}

template <class T>
void check_compare() {
  struct Op {
    const char* name;
    bool (*f)(T, T);
  };
  const Op ops[] = {
      {"less", [](T a, T b) { return a < b; }},    {"less_equal", [](T a, T b) { return a <= b; }},
      {"equal", [](T a, T b) { return a == b; }},  {"not_equal", [](T a, T b) { return a != b; }},
      {"greater", [](T a, T b) { return a > b; }}, {"greater_equal", [](T a, T b) { return a >= b; }}};
  std::vector<T> values = {
      T(0), T(1), T(2), T(3), std::numeric_limits<T>::max(), std::numeric_limits<T>::lowest()};
  if constexpr (std::is_floating_point_v<T>) values = specials<T>();
  for (size_t n : sizes()) {
    std::mt19937 engine(static_cast<unsigned>(n));
    std::vector<T> a(n), b(n);
    for (size_t i = 0; i < n; ++i)
      a[i] = values[engine() % values.size()], b[i] = values[engine() % values.size()];
    for (const auto& op : ops) {
      std::vector<uint8_t> y(n + 1, 77);
      simd::find_compare(op.name, dtype_of<T>)(a.data(), b.data(), y.data(), n, 0);
      for (size_t i = 0; i < n; ++i)
        ASSERT_EQ(y[i], op.f(a[i], b[i])) << op.name << " " << +a[i] << " " << +b[i];
      ASSERT_EQ(y[n], 77);
      if (n == 0) continue;
      simd::find_compare(op.name, dtype_of<T>)(a.data(), b.data(), y.data(), n, simd::kScalarB);
      for (size_t i = 0; i < n; ++i) ASSERT_EQ(y[i], op.f(a[i], b[0])) << op.name;
    }
  }
}
TEST(SimdPointwise, Compare) {
  for_each_target([] {
    check_compare<float>();
    check_compare<double>();
    check_compare<int32_t>();
    check_compare<int64_t>();
    check_compare<int8_t>();
    check_compare<int16_t>();
    check_compare<uint8_t>();
  });
}

template <class T>
void check_select(DType dtype) {
  for (size_t n : sizes()) {
    std::mt19937_64 engine(n);
    std::vector<T> a(n), b(n), y(n + 1);
    std::vector<uint8_t> c(n);
    for (size_t i = 0; i < n; ++i) {
      a[i] = static_cast<T>(engine()), b[i] = static_cast<T>(engine()),
      c[i] = static_cast<uint8_t>(engine() % 3);
    }
    for (unsigned flags = 0; flags < 8; ++flags) {
      if (n == 0 && flags != 0) continue;
      y[n] = T(42);
      simd::find_select(dtype)(c.data(), a.data(), b.data(), y.data(), n, flags);
      for (size_t i = 0; i < n; ++i) {
        const T va = a[flags & simd::kScalarA ? 0 : i], vb = b[flags & simd::kScalarB ? 0 : i];
        ASSERT_EQ(y[i], c[flags & simd::kScalarCond ? 0 : i] != 0 ? va : vb)
            << "n " << n << " flags " << flags;
      }
      ASSERT_EQ(y[n], T(42));
    }
  }
}
TEST(SimdPointwise, Select) {
  for_each_target([] {
    check_select<uint8_t>(DType::i8);
    check_select<uint16_t>(DType::bf16);
    check_select<uint32_t>(DType::f32);
    check_select<uint64_t>(DType::f64);
  });
}

// What a cast must give, by plain arithmetic in long double.
template <class To>
To cast_by_rule(long double x, bool from_float) {
  if constexpr (std::is_same_v<To, bool>) {
    return x != 0;
  } else if constexpr (std::is_integral_v<To>) {
    using Lim = std::numeric_limits<To>;
    if (!from_float) return static_cast<To>(static_cast<uint64_t>(static_cast<int64_t>(x)));
    if (std::isnan(x)) return 0;
    if (x >= static_cast<long double>(Lim::max())) return Lim::max();
    if (x <= static_cast<long double>(Lim::min())) return Lim::min();
    return static_cast<To>(x);
  } else if constexpr (std::is_floating_point_v<To>) {
    return static_cast<To>(x);
  } else {
    return To(static_cast<float>(x));
  }
}

template <class From, class To>
void check_cast() {
  std::vector<From> x;
  constexpr bool kFromHalf = sizeof(From) == 2 && !std::is_arithmetic_v<From>;
  if constexpr (std::is_same_v<From, bool>) {
    return;  // bytes, below
  } else {
    const double nan = std::numeric_limits<double>::quiet_NaN(), inf = HUGE_VAL;
    for (double v : {0.0,   -0.0,  1.0,   -1.0,  1.5,   -1.5,   0.3,   2.0,     100.7, -100.7, 127.5,
                     128.0, 255.0, 255.9, 256.0, 300.0, -129.0, 3.0e4, 65504.0, 7.0e4, -3.3e9, 2147483648.0,
                     2.2e9, 1e19,  -1e19, 1e30,  6e-8,  1e-40,  nan,   inf,     -inf}) {
      if constexpr (kFromHalf) {
        x.push_back(From(static_cast<float>(v)));
      } else if constexpr (std::is_floating_point_v<From>) {
        x.push_back(static_cast<From>(v));
      } else if (v >= static_cast<double>(std::numeric_limits<From>::min()) &&
                 v < static_cast<double>(std::numeric_limits<From>::max())) {
        x.push_back(static_cast<From>(v));
      }
    }
    if constexpr (std::is_integral_v<From>) {
      x.push_back(std::numeric_limits<From>::min());
      x.push_back(std::numeric_limits<From>::max());
    }
    const size_t base = x.size();
    for (size_t i = 0; i < 90; ++i) x.push_back(x[(i * 7) % base]);
    std::vector<std::conditional_t<std::is_same_v<To, bool>, uint8_t, To>> y(x.size());
    for (size_t n : {size_t{1}, size_t{5}, size_t{16}, size_t{33}, x.size()}) {
      simd::find_cast(dtype_of<From>, dtype_of<To>)(x.data(), y.data(), n);
      for (size_t i = 0; i < n; ++i) {
        long double v;
        if constexpr (kFromHalf) {
          v = static_cast<float>(x[i]);
        } else {
          v = x[i];
        }
        const To want = cast_by_rule<To>(v, kFromHalf || std::is_floating_point_v<From>);
        if constexpr (std::is_integral_v<To>) {
          ASSERT_EQ(static_cast<To>(y[i]), want)
              << to_string(dtype_of<From>) << " to " << to_string(dtype_of<To>) << " of " << v;
        } else {
          const float a = static_cast<float>(y[i]), b = static_cast<float>(want);
          ASSERT_TRUE(std::isnan(b) ? std::isnan(a) : same_bits(a, b))
              << to_string(dtype_of<From>) << " to " << to_string(dtype_of<To>) << " of " << v << " gave "
              << a;
        }
      }
    }
  }
}

TEST(SimdPointwise, CastAllPairs) {
  for_each_target([] {
    for (int from = 0; from < kDTypeCount; ++from)
      for (int to = 0; to < kDTypeCount; ++to)
        dispatch(static_cast<DType>(from), [&](auto f) {
          return dispatch(static_cast<DType>(to), [](auto t) {
            check_cast<decltype(f), decltype(t)>();
            return 0;
          });
        });
    const std::vector<uint8_t> flags = {0, 1, 1, 0, 255};
    std::vector<float> y(5);
    simd::find_cast(DType::boolean, DType::f32)(flags.data(), y.data(), 5);
    EXPECT_EQ(y, (std::vector<float>{0, 1, 1, 0, 1}));
    const std::vector<float> small = {0, -0.0f, 1e-40f, 0.5f, NAN};
    std::vector<uint8_t> b(5);
    simd::find_cast(DType::f32, DType::boolean)(small.data(), b.data(), 5);
    EXPECT_EQ(b, (std::vector<uint8_t>{0, 0, 1, 1, 1}));
  });
}

// All 65536 half values convert as the scalar types do, both ways.
template <class H>
void check_half() {
  std::vector<H> x(65536), back(65536);
  for (size_t i = 0; i < x.size(); ++i) x[i].bits = static_cast<uint16_t>(i);
  std::vector<float> y(x.size());
  simd::find_cast(dtype_of<H>, DType::f32)(x.data(), y.data(), x.size());
  simd::find_cast(DType::f32, dtype_of<H>)(y.data(), back.data(), x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const float want = static_cast<float>(x[i]);
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(y[i]) && std::isnan(static_cast<float>(back[i])));
    } else {
      ASSERT_TRUE(same_bits(y[i], want)) << i;
      ASSERT_EQ(back[i].bits, x[i].bits) << i;
    }
  }
  auto between = uniform_values<float>(20000, -70000, 70000, 5);
  for (size_t i = 0; i < 10000; ++i) between[i] *= 1e-9f;
  std::vector<H> z(between.size());
  simd::find_cast(DType::f32, dtype_of<H>)(between.data(), z.data(), z.size());
  for (size_t i = 0; i < z.size(); ++i) ASSERT_EQ(z[i].bits, H(between[i]).bits) << between[i];
}
TEST(SimdPointwise, HalfConversionsAreExact) {
  for_each_target([] {
    check_half<f16_t>();
    check_half<bf16_t>();
  });
}

}  // namespace
}  // namespace fovea
