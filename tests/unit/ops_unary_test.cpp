// Pointwise ops of one operand: values against the C++ library in double, special values, conversions,
// slopes.
#include "tests/unit/pointwise_test_util.h"

namespace fovea {
namespace {

using namespace test;

struct UnaryCase {
  std::string op;
  double (*f)(double);
  double low, high;
  double slack = 2;
};

double sign_of(double x) { return x > 0 ? 1 : x < 0 ? -1 : x; }
double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }
double gelu_of(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }
double softplus_of(double x) { return x > 30 ? x : std::log1p(std::exp(x)); }

const UnaryCase kUnary[] = {
    {"neg", [](double x) { return -x; }, -5, 5},
    {"exp", [](double x) { return std::exp(x); }, -5, 5},
    {"log", [](double x) { return std::log(x); }, 1.1, 50},
    {"sqrt", [](double x) { return std::sqrt(x); }, 0, 50},
    {"sin", [](double x) { return std::sin(x); }, 0.1, 3},
    {"cos", [](double x) { return std::cos(x); }, -1.5, 1.5},
    {"tan", [](double x) { return std::tan(x); }, -1.5, 1.5, 4},
    {"tanh", [](double x) { return std::tanh(x); }, -5, 5},
    {"erf", [](double x) { return std::erf(x); }, -4, 4},
    {"floor", [](double x) { return std::floor(x); }, -9, 9},
    {"ceil", [](double x) { return std::ceil(x); }, -9, 9},
    {"round", [](double x) { return std::nearbyint(x); }, -9, 9},
    {"abs", [](double x) { return std::abs(x); }, -9, 9},
    {"sign", sign_of, -2, 2},
    {"square", [](double x) { return x * x; }, -9, 9},
    {"reciprocal", [](double x) { return 1 / x; }, 0.1, 9},
    {"rsqrt", [](double x) { return 1 / std::sqrt(x); }, 0.1, 9},
    {"log1p", [](double x) { return std::log1p(x); }, 1e-3, 9},
    {"expm1", [](double x) { return std::expm1(x); }, -3, 3},
    {"sigmoid", sigmoid_of, -9, 9},
    {"relu", [](double x) { return x <= 0 ? 0 : x; }, -5, 5},
    {"gelu", gelu_of, -1.5, 5, 8},
    {"silu", [](double x) { return x * sigmoid_of(x); }, -9, 9, 4},
    {"softplus", softplus_of, -9, 9, 4},
    {"mish", [](double x) { return x * std::tanh(softplus_of(x)); }, -5, 5, 8},
    {"elu", [](double x) { return x > 0 ? x : std::expm1(x); }, -5, 5},
    {"leaky_relu", [](double x) { return x > 0 ? x : 0.01 * x; }, -5, 5},
};

TEST(Unary, UnaryValuesInEveryFloatingType) {
  for (const UnaryCase& c : kUnary)
    for (DType dtype : {DType::f32, DType::f64, DType::f16, DType::bf16}) {
      const Array x = random_array({7, 37}, 1, dtype, c.low, c.high);
      const Array y = apply1(c.op, {x}).array();
      const Array judged = run_reference(c.op, {x});
      ASSERT_EQ(y.dtype(), dtype);
      ASSERT_EQ(y.shape(), x.shape());
      // Composites without a kernel of their own round after each step in a half type.
      const bool stepwise = size_of(dtype) == 2 && (c.op == "mish" || c.op == "elu" || c.op == "leaky_relu");
      for (int64_t i = 0; i < x.size(); ++i) {
        const double at = x.get_flat(i);
        const std::string what = c.op + "(" + std::to_string(at) + ") " + std::string(to_string(dtype));
        expect_value(y.get_flat(i), c.f(at), dtype, stepwise ? 20 : c.slack, what);
        // The decomposition, step by step; half types round at each one.
        expect_value(judged.get_flat(i), c.f(at), dtype, size_of(dtype) == 2 ? 30 : 16, "decomposed " + what);
      }
    }
}

// What each function gives for values where formulas break.
TEST(Unary, UnarySpecialValues) {
  struct Special {
    std::string op;
    double x, want;
  };
  const Special specials[] = {
      {"exp", -kInf, 0},
      {"exp", kInf, kInf},
      {"exp", kNan, kNan},
      {"exp", 0, 1},
      {"log", 0, -kInf},
      {"log", -1, kNan},
      {"log", kInf, kInf},
      {"log", kNan, kNan},
      {"sqrt", -1, kNan},
      {"sqrt", kInf, kInf},
      {"sqrt", 0, 0},
      {"sin", kInf, kNan},
      {"cos", -kInf, kNan},
      {"cos", 0, 1},
      {"tanh", kInf, 1},
      {"tanh", -kInf, -1},
      {"tanh", kNan, kNan},
      {"erf", kInf, 1},
      {"erf", -kInf, -1},
      {"erf", kNan, kNan},
      {"floor", -0.5, -1},
      {"floor", kInf, kInf},
      {"floor", kNan, kNan},
      {"ceil", -1.5, -1},
      {"ceil", -kInf, -kInf},
      {"round", 0.5, 0},
      {"round", 1.5, 2},
      {"round", 2.5, 2},
      {"round", -0.5, 0},
      {"round", -1.5, -2},
      {"round", -2.5, -2},
      {"round", kInf, kInf},
      {"round", -kInf, -kInf},
      {"round", kNan, kNan},
      {"round", 3.49, 3},
      {"round", 1048576, 1048576},
      {"abs", -kInf, kInf},
      {"abs", kNan, kNan},
      {"abs", 0, 0},
      {"sign", kNan, kNan},
      {"sign", 0, 0},
      {"sign", -kInf, -1},
      {"sign", kInf, 1},
      {"square", -kInf, kInf},
      {"reciprocal", 0, kInf},
      {"reciprocal", -kInf, 0},
      {"rsqrt", 0, kInf},
      {"rsqrt", kInf, 0},
      {"log1p", -1, -kInf},
      {"log1p", -2, kNan},
      {"log1p", kInf, kInf},
      {"log1p", kNan, kNan},
      {"log1p", 0, 0},
      {"log1p", 1e-6, 9.999995000003333e-7},
      {"log1p", -1e-6, -1.0000005000003333e-6},
      {"log1p", 1e20, 46.051701859880914},
      {"expm1", -kInf, -1},
      {"expm1", kInf, kInf},
      {"expm1", kNan, kNan},
      {"expm1", 0, 0},
      {"expm1", 1e-6, 1.0000005000001667e-6},
      {"expm1", -1e-6, -9.999995000001667e-7},
      {"expm1", 88, 1.6516362549940018e38},
      {"expm1", -30, -0.99999999999990638},
      {"sigmoid", kInf, 1},
      {"sigmoid", -kInf, 0},
      {"sigmoid", kNan, kNan},
      {"sigmoid", 0, 0.5},
      {"relu", kNan, kNan},
      {"relu", kInf, kInf},
      {"relu", -kInf, 0},
      {"relu", 0, 0},
      {"gelu", kInf, kInf},
      {"gelu", 0, 0},
      {"gelu", kNan, kNan},
      {"silu", kInf, kInf},
      {"silu", 0, 0},
      {"softplus", kInf, kInf},
      {"softplus", -kInf, 0},
      {"softplus", 1000, 1000},
      {"softplus", kNan, kNan},
      {"softplus", 0, 0.6931471805599453},
      {"softplus", -50, 1.9287498479639178e-22},
      {"elu", -kInf, -1},
      {"elu", kInf, kInf},
      {"elu", kNan, kNan},
      {"leaky_relu", kNan, kNan},
      {"leaky_relu", -100, -1},
      {"mish", kInf, kInf},
  };
  for (const Special& s : specials)
    for (DType dtype : {DType::f32, DType::f64}) {
      const Array x = of(dtype, {s.x, 0.25, s.x});  // beside an ordinary value
      const std::string what = s.op + "(" + std::to_string(s.x) + ") " + std::string(to_string(dtype));
      const Array y = apply1(s.op, {x}).array();
      expect_value(y.get_flat(0), s.want, dtype, 4, what);
      expect_value(y.get_flat(2), s.want, dtype, 4, what);
      expect_value(run_reference(s.op, {x}).get_flat(0), s.want, dtype, 4, "decomposed " + what);
    }
  EXPECT_TRUE(std::signbit(neg(Array::scalar(0.0f)).item()));
  EXPECT_FALSE(std::signbit(abs(Array::scalar(-0.0f)).item()));
  EXPECT_FALSE(std::signbit(run_reference("abs", {Array::scalar(-0.0f)}).item()));
}

// Far below 0 the formula 1 + erf cancels: the error stays small against 1, not against the result.
TEST(Unary, GeluTail) {
  const Array x = of(DType::f32, {-2, -3, -4, -5, -6, -8, -40});
  for (const Array& y : {gelu(x).array(), run_reference("gelu", {x})})
    for (int64_t i = 0; i < x.size(); ++i) EXPECT_NEAR(y.get_flat(i), gelu_of(x.get_flat(i)), 4e-7);
}

TEST(Unary, GeluByTanh) {
  const Array x = of(DType::f32, {-3, -1, -0.1, 0, 0.5, 2});
  const Array y = gelu(x, "tanh").array(), judged = run_reference("gelu", {x}, {{"approximate", "tanh"}});
  for (int64_t i = 0; i < x.size(); ++i) {
    const double v = x.get_flat(i);
    const double want = 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
    EXPECT_NEAR(y.get_flat(i), want, 1e-6);
    EXPECT_NEAR(judged.get_flat(i), want, 1e-6);
  }
  EXPECT_EQ(kernels("gelu", {x}, {{"approximate", "tanh"}}), std::vector<std::string>{"gelu/simd"});
}

TEST(Unary, UnaryLayouts) {
  for (DType dtype : {DType::f32, DType::f16, DType::i32}) {
    const Array base = random_array({33, 70}, 4, dtype, -9, 9);
    for (const Array& x :
         {base, base.transpose(0, 1), base.slice(1, 2, 70, 3), base.slice(0, 4, 5).broadcast_to({6, 70}),
          base.slice(1, 1, 2).broadcast_to({33, 65}), base.slice(0, 3, 3)}) {
      const Array y = neg(x).array();
      ASSERT_EQ(y.shape(), x.shape());
      for (int64_t i = 0; i < x.size(); ++i)
        ASSERT_EQ(y.get_flat(i), -x.get_flat(i)) << to_string(x.strides());
    }
  }
}

TEST(Unary, PredicatesSeeNanAndInfinity) {
  for (DType dtype : {DType::f32, DType::f64, DType::f16, DType::bf16}) {
    const Array x = of(dtype, {0, kNan, kInf, -kInf, 1});
    const std::map<std::string, std::vector<double>> expected = {
        {"is_nan", {0, 1, 0, 0, 0}}, {"is_inf", {0, 0, 1, 1, 0}}, {"is_finite", {1, 0, 0, 0, 1}}};
    for (const auto& [op, want] : expected)
      for (const Array& y : {apply1(op, {x}).array(), run_reference(op, {x})})
        EXPECT_EQ(y.cast(DType::f64).to_vector<double>(), want) << op << " " << to_string(dtype);
  }
}

TEST(Unary, CastBetweenAllTypes) {
  const std::vector<double> values = {0,     1,    -1,    2.5,  -2.5,  100,  300,  -300,
                                      70000, 1e10, -1e10, 1e30, -1e30, kNan, kInf, -kInf};
  const auto clamp = [](double v, double low, double high) {
    return std::isnan(v) ? 0 : std::trunc(std::min(std::max(v, low), high));
  };
  for (DType from : {DType::f32, DType::f64}) {
    const Array x = of(from, values);
    for (const bool judged : {false, true}) {
      const auto run = [&](DType to) {
        return judged ? run_reference("cast", {x}, {{"dtype", to}})
                      : apply1("cast", {x}, {{"dtype", to}}).array();
      };
      for (size_t i = 0; i < values.size(); ++i) {
        const double v = x.get_flat(static_cast<int64_t>(i));
        EXPECT_EQ(run(DType::i8).get_flat(i), clamp(v, -128, 127));
        EXPECT_EQ(run(DType::u8).get_flat(i), clamp(v, 0, 255));
        EXPECT_EQ(run(DType::i16).get_flat(i), clamp(v, -32768, 32767));
        EXPECT_EQ(run(DType::i32).get_flat(i), clamp(v, -2147483648.0, 2147483647.0));
        EXPECT_EQ(run(DType::boolean).get_flat(i), v != 0);
        const double back = run(DType::f64).get_flat(i);
        EXPECT_TRUE(std::isnan(v) ? std::isnan(back) : back == v);
        const double half = run(DType::f16).get_flat(i);
        EXPECT_EQ(std::isinf(half), std::abs(v) > 65520) << v;
      }
      EXPECT_EQ(run(DType::i64).to_vector<int64_t>()[11], std::numeric_limits<int64_t>::max());
      EXPECT_EQ(run(DType::i64).to_vector<int64_t>()[15], std::numeric_limits<int64_t>::min());
    }
  }
  // Integers keep their low bits, and round once on the way to a float.
  const Array wide = Array::of<int64_t>({300, -1, 0x7fffffffffffffff, (int64_t{1} << 25) + 1, 256}, {5});
  for (const bool judged : {false, true}) {
    const auto run = [&](DType to) {
      return judged ? run_reference("cast", {wide}, {{"dtype", to}})
                    : apply1("cast", {wide}, {{"dtype", to}}).array();
    };
    EXPECT_EQ(run(DType::i8).to_vector<int8_t>(), (std::vector<int8_t>{44, -1, -1, 1, 0}));
    EXPECT_EQ(run(DType::u8).to_vector<uint8_t>(), (std::vector<uint8_t>{44, 255, 255, 1, 0}));
    EXPECT_EQ(run(DType::i32).to_vector<int32_t>(), (std::vector<int32_t>{300, -1, -1, 33554433, 256}));
    EXPECT_EQ(run(DType::f32).to_vector<float>(),
              (std::vector<float>{300, -1, 9.223372036854775807e18f, 33554432, 256}));
    EXPECT_EQ(run(DType::boolean).cast(DType::f64).to_vector<double>(), std::vector<double>(5, 1.0));
  }
}

TEST(Unary, ClipHoldsBetweenBounds) {
  const Array x = of(DType::f32, {-5, -1, 0.5, 1, 7, kNan, kInf, -kInf});
  const std::vector<float> y = clip(x, -1, 1).array().to_vector<float>();
  EXPECT_EQ(std::vector<float>(y.begin(), y.begin() + 5), (std::vector<float>{-1, -1, 0.5f, 1, 1}));
  EXPECT_TRUE(std::isnan(y[5]));
  EXPECT_EQ(y[6], 1);
  EXPECT_EQ(y[7], -1);
  EXPECT_EQ(clip(Array::of<int32_t>({-5, 0, 5}, {3}), -2, kInf).array().to_vector<int32_t>(),
            (std::vector<int32_t>{-2, 0, 5}));
}

TEST(Unary, GradientCompanions) {
  const Array x = random_array({50}, 5, DType::f64, -3, 3), g = random_array({50}, 6, DType::f64, -1, 1);
  struct Companion {
    std::string op;
    double (*slope)(double);
    Attrs attrs;
  };
  const Companion companions[] = {
      {"tanh_backward", [](double y) { return 1 - y * y; }, {}},
      {"sigmoid_backward", [](double y) { return y * (1 - y); }, {}},
      {"relu_backward", [](double y) { return double(y > 0); }, {}},
      {"silu_backward", [](double v) { return sigmoid_of(v) * (1 + v * (1 - sigmoid_of(v))); }, {}},
      {"gelu_backward",
       [](double v) {
         return 0.5 * std::erfc(-v / std::sqrt(2.0)) + v * std::exp(-0.5 * v * v) / std::sqrt(2 * M_PI);
       },
       {}},
      {"gelu_backward",
       [](double v) {  // central difference of the formula itself
         const auto f = [](double t) {
           return 0.5 * t * (1 + std::tanh(std::sqrt(2 / M_PI) * (t + 0.044715 * t * t * t)));
         };
         return (f(v + 1e-5) - f(v - 1e-5)) / 2e-5;
       },
       {{"approximate", "tanh"}}},
  };
  for (const Companion& c : companions)
    for (const Array& y : {apply1(c.op, {x, g}, c.attrs).array(), run_reference(c.op, {x, g}, c.attrs)})
      for (int64_t i = 0; i < x.size(); ++i)
        EXPECT_NEAR(y.get_flat(i), g.get_flat(i) * c.slope(x.get_flat(i)), 1e-8)
            << c.op << " at " << x.get_flat(i);
}

}  // namespace
}  // namespace fovea
