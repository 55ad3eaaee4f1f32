// Pointwise ops on arrays: values against the C++ library in double, layouts, types, special values, and
// which kernel runs.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>

#include "generated/ops.h"
#include "graph/build/builder.h"
#include "optim/lower/program.h"

namespace fovea {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
const double kNan = std::nan("");

Array random_array(DType dtype, Dims shape, double low, double high, int seed) {
  std::mt19937 random(static_cast<unsigned>(seed));
  std::uniform_real_distribution<double> uniform(low, high);
  Array a(DType::f64, std::move(shape));
  for (int64_t i = 0; i < a.size(); ++i) a.set_flat(i, uniform(random));
  return a.cast(dtype);
}

Array of(DType dtype, const std::vector<double>& values) {
  return Array::of(values, {static_cast<int64_t>(values.size())}).cast(dtype);
}

// Half an ulp for one rounding, and a little for functions; integers are exact.
double tolerance(DType dtype, double want) {
  const double unit = dtype == DType::f64    ? 1e-14
                      : dtype == DType::f32  ? 6e-7
                      : dtype == DType::f16  ? 1e-3
                      : dtype == DType::bf16 ? 8e-3
                                             : 0;
  const double least = dtype == DType::f64 ? 1e-300 : dtype == DType::f16 ? 6e-8 : 1e-37;
  return std::abs(want) * unit + (is_floating(dtype) ? least : 0);
}

void expect_value(double got, double want, DType dtype, double slack, const std::string& what) {
  if (std::isnan(want)) {
    EXPECT_TRUE(std::isnan(got)) << what << " gave " << got;
  } else if (std::isinf(want)) {
    EXPECT_EQ(got, want) << what;
  } else {
    EXPECT_NEAR(got, want, slack * tolerance(dtype, want)) << what;
  }
}

// The op's kernels in the order they are launched, "op/kernel".
std::vector<std::string> kernels(const std::string& op, const std::vector<Array>& in,
                                 const Attrs& attrs = {}) {
  auto module = std::make_shared<Module>();
  auto builder = Builder::make(module, "f");
  std::vector<Tensor> args;
  for (const Array& a : in) args.push_back(builder->input("", {a.dtype(), to_shape(a.shape())}));
  builder->output("", builder->add(find_op(op), args, attrs, {})[0]);
  builder->finish();
  Program program(module, "f");
  std::vector<std::string> names;
  for (const PlanStep& s : program.plan(in)->steps) names.push_back(s.op + "/" + s.kernel);
  return names;
}

Array run_reference(const std::string& op, const std::vector<Array>& in, const Attrs& attrs = {}) {
  auto module = std::make_shared<Module>();
  auto builder = Builder::make(module, "f");
  std::vector<Tensor> args;
  for (const Array& a : in) args.push_back(builder->input("", {a.dtype(), to_shape(a.shape())}));
  builder->output("", builder->add(find_op(op), args, attrs, {})[0]);
  builder->finish();
  CompileOptions options;
  options.backend = "reference";
  return Program(module, "f", options).run(in)[0];
}

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

TEST(Pointwise, UnaryValuesInEveryFloatingType) {
  for (const UnaryCase& c : kUnary)
    for (DType dtype : {DType::f32, DType::f64, DType::f16, DType::bf16}) {
      const Array x = random_array(dtype, {7, 37}, c.low, c.high, 1);
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
TEST(Pointwise, UnarySpecialValues) {
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
TEST(Pointwise, GeluTail) {
  const Array x = of(DType::f32, {-2, -3, -4, -5, -6, -8, -40});
  for (const Array& y : {gelu(x).array(), run_reference("gelu", {x})})
    for (int64_t i = 0; i < x.size(); ++i) EXPECT_NEAR(y.get_flat(i), gelu_of(x.get_flat(i)), 4e-7);
}

TEST(Pointwise, GeluByTanh) {
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

struct BinaryCase {
  std::string op;
  double (*f)(double, double);
  bool integers = true;
};
double mod_of(double a, double b) {
  const double r = std::fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
const BinaryCase kBinary[] = {
    {"add", [](double a, double b) { return a + b; }},
    {"sub", [](double a, double b) { return a - b; }},
    {"mul", [](double a, double b) { return a * b; }},
    {"div", [](double a, double b) { return a / b; }, false},
    {"maximum", [](double a, double b) { return a > b ? a : b; }},
    {"minimum", [](double a, double b) { return a < b ? a : b; }},
    {"mod", mod_of},
    {"floor_div", [](double a, double b) { return std::floor(a / b); }},
    {"less", [](double a, double b) { return double(a < b); }},
    {"less_equal", [](double a, double b) { return double(a <= b); }},
    {"greater", [](double a, double b) { return double(a > b); }},
    {"greater_equal", [](double a, double b) { return double(a >= b); }},
    {"equal", [](double a, double b) { return double(a == b); }},
    {"not_equal", [](double a, double b) { return double(a != b); }},
};

// The first elements of y = op(a, b), and every 97th behind them, on the cpu; small results on the reference,
// too.
void expect_binary(const BinaryCase& c, const Array& a, const Array& b, const std::string& what) {
  const Array y = apply1(c.op, {a, b}).array();
  const Array judged = y.size() <= 1000 ? run_reference(c.op, {a, b}) : Array();
  const Array wide_a = a.broadcast_to(y.shape()), wide_b = b.broadcast_to(y.shape());
  int64_t wrong = 0;
  for (int64_t i = 0; i < y.size(); i += i < 300 ? 1 : 97) {
    const double exact = c.f(wide_a.get_flat(i), wide_b.get_flat(i));
    const Array want = is_floating(y.dtype()) ? Array::scalar(exact).cast(y.dtype())
                                              : Array::scalar(static_cast<int64_t>(exact)).cast(y.dtype());
    const double slack = tolerance(y.dtype(), want.item());
    wrong += !(std::abs(y.get_flat(i) - want.item()) <= slack);
    if (judged.defined()) wrong += !(std::abs(judged.get_flat(i) - want.item()) <= slack);
  }
  EXPECT_EQ(wrong, 0) << what << " of " << y.size();
}

// Every layout an operand can have: dense, broadcast along rows, columns or all, transposed, stepped, short
// rows.
TEST(Pointwise, BinaryLayoutsAndTypes) {
  struct Layout {
    const char* name;
    std::function<Array(DType, int)> a, b;
  };
  // Quarters, few enough to be exact in every type and to be equal often; integers get whole numbers.
  const auto make = [](DType dtype, Dims shape, int seed) {
    Array x(DType::f64, shape);
    std::mt19937 random(static_cast<unsigned>(seed));
    for (int64_t i = 0; i < x.size(); ++i) {
      int v = static_cast<int>(random() % 11) - 5;
      if (v == 0 || dtype == DType::u8) v += 6;
      x.set_flat(i, is_floating(dtype) ? v * 0.25 : v);
    }
    return x.cast(dtype);
  };
  const auto dense = [&](Dims shape) { return [=](DType t, int seed) { return make(t, shape, seed); }; };
  const auto turned = [&](Dims shape) {
    return [=](DType t, int seed) { return make(t, shape, seed).transpose(0, 1); };
  };
  const auto stepped = [&](int64_t rows, int64_t columns) {
    return [=](DType t, int seed) { return make(t, {rows, 2 * columns}, seed).slice(1, 1, 2 * columns, 2); };
  };
  const Layout layouts[] = {
      {"dense", dense({3, 70}), dense({3, 70})},
      {"one element", dense({1}), dense({1, 1})},
      {"0-d", dense({}), dense({})},
      {"scalar left", dense({}), dense({5, 67})},
      {"scalar right", dense({2, 67}), dense({1})},
      {"row", dense({5, 67}), dense({67})},
      {"row left", dense({1, 67}), dense({5, 67})},
      {"column", dense({5, 67}), dense({5, 1})},
      {"column left", dense({5, 1}), dense({5, 67})},
      {"outer product", dense({5, 1}), dense({1, 67})},
      {"short row", dense({40, 3}), dense({3})},
      {"short column", dense({40, 3}), dense({40, 1})},
      {"short middle", dense({4, 1, 3}), dense({5, 1})},
      {"many short rows", dense({700, 3}), dense({3})},
      {"transposed", turned({67, 5}), dense({5, 67})},
      {"both transposed", turned({67, 5}), turned({67, 5})},
      {"transposed patches", turned({150, 37}), dense({37, 150})},
      {"transposed under a row", turned({70, 20}), dense({3, 1, 70})},
      {"several blocks, transposed", turned({300, 700}), dense({700, 1})},
      {"transposed short", dense({6, 3}), turned({3, 6})},
      {"stepped", stepped(3, 80), dense({3, 80})},
      {"stepped row", dense({4, 80}), stepped(1, 80)},
      {"empty", dense({0, 3}), dense({3})},
      {"empty inside", dense({2, 0, 3}), dense({1, 1})},
      {"several blocks", dense({9, 11003}), dense({11003})},
      {"several blocks, column", dense({11003, 9}), dense({11003, 1})},
  };
  for (size_t at = 0; at < std::size(layouts); ++at)
    for (DType dtype : {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i8, DType::i16, DType::i32,
                        DType::i64, DType::u8}) {
      // f32 sees every layout, the other types every third, by turns.
      if (dtype != DType::f32 && at % 3 != static_cast<size_t>(dtype) % 3) continue;
      const Array a = layouts[at].a(dtype, 1), b = layouts[at].b(dtype, 2);
      for (const BinaryCase& c : kBinary)
        if (c.integers || is_floating(dtype))
          expect_binary(c, a, b, c.op + " " + std::string(to_string(dtype)) + " " + layouts[at].name);
    }
}

TEST(Pointwise, UnaryLayouts) {
  for (DType dtype : {DType::f32, DType::f16, DType::i32}) {
    const Array base = random_array(dtype, {33, 70}, -9, 9, 4);
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

TEST(Pointwise, PowerHasTheLibrarysSpecialCases) {
  const std::vector<double> values = {-kInf, -2, -1, -0.5, -0.0, 0.0, 0.5, 1, 2, 3, kInf, kNan};
  for (DType dtype : {DType::f32, DType::f64})
    for (double a : values)
      for (double b : values) {
        const Array y = apply1("pow", {of(dtype, {a}), of(dtype, {b})}).array();
        expect_value(y.item(), std::pow(a, b), dtype, 2,
                     "pow(" + std::to_string(a) + ", " + std::to_string(b) + ")");
      }
  const Tensor powers =
      pow(Array::of<int64_t>({2, -3, -1, 1, 0, 5}, {6}), Array::of<int64_t>({10, 3, -3, -7, 0, -1}, {6}));
  EXPECT_EQ(powers.array().to_vector<int64_t>(), (std::vector<int64_t>{1024, -27, -1, 1, 1, 0}));
  EXPECT_EQ(pow(of(DType::f32, {-3, 0, 4}), 2).array().to_vector<float>(), (std::vector<float>{9, 0, 16}));
  EXPECT_EQ(pow(of(DType::f32, {-3, 0, 4}), 3).array().to_vector<float>(), (std::vector<float>{-27, 0, 64}));
}

TEST(Pointwise, NanWinsInMaximumAndLosesComparisons) {
  const Array a = of(DType::f32, {kNan, 1, kNan, 2}), b = of(DType::f32, {1, kNan, kNan, 2});
  for (const char* op : {"maximum", "minimum"})
    for (const Array& y : {apply1(op, {a, b}).array(), run_reference(op, {a, b})}) {
      for (int i = 0; i < 3; ++i) EXPECT_TRUE(std::isnan(y.get_flat(i))) << op;
      EXPECT_EQ(y.get_flat(3), 2);
    }
  const std::map<std::string, std::vector<bool>> expected = {
      {"less", {false, false, false, false}},    {"less_equal", {false, false, false, true}},
      {"greater", {false, false, false, false}}, {"greater_equal", {false, false, false, true}},
      {"equal", {false, false, false, true}},    {"not_equal", {true, true, true, false}}};
  for (const auto& [op, want] : expected)
    for (const Array& y : {apply1(op, {a, b}).array(), run_reference(op, {a, b})})
      for (int i = 0; i < 4; ++i) EXPECT_EQ(y.get_flat(i) != 0, want[i]) << op << " " << i;
}

TEST(Pointwise, IntegersWrapAndDivideDownwards) {
  const int64_t least = std::numeric_limits<int64_t>::min(), most = std::numeric_limits<int64_t>::max();
  const Array a = Array::of<int64_t>({most, least, 7, -7, 7, -7, 5, least}, {8});
  const Array b = Array::of<int64_t>({1, 1, 2, 2, -2, -2, 0, -1}, {8});
  EXPECT_EQ(add(a, b).array().to_vector<int64_t>()[0], least);
  EXPECT_EQ(sub(a, b).array().to_vector<int64_t>()[1], most);
  EXPECT_EQ(mul(a, a).array().to_vector<int64_t>()[0], 1);
  EXPECT_EQ(neg(a).array().to_vector<int64_t>()[1], least);
  EXPECT_EQ(floor_div(a, b).array().to_vector<int64_t>(),
            (std::vector<int64_t>{most, least, 3, -4, -4, 3, 0, least}));
  EXPECT_EQ(mod(a, b).array().to_vector<int64_t>(), (std::vector<int64_t>{0, 0, 1, 1, -1, -1, 0, 0}));
  EXPECT_EQ(run_reference("mod", {a, b}).to_vector<int64_t>(),
            (std::vector<int64_t>{0, 0, 1, 1, -1, -1, 0, 0}));
  EXPECT_EQ(apply1("div", {a, b}).array().to_vector<int64_t>(),
            (std::vector<int64_t>{most, least, 3, -3, -3, 3, 0, least}));
  const Tensor quotient = Array::of<int32_t>({7, -7}, {2}) / Tensor(Array::of<int32_t>({2, 2}, {2}));
  EXPECT_EQ(quotient.dtype(), DType::f32);
  EXPECT_EQ(quotient.array().to_vector<float>(), (std::vector<float>{3.5f, -3.5f}));
}

TEST(Pointwise, OperatorsTakeNumbersOnEitherSide) {
  const Tensor x(of(DType::f32, {1, -2}));
  const auto values = [](const Tensor& t) { return t.array().to_vector<float>(); };
  EXPECT_EQ(values(2.0 * x), (std::vector<float>{2, -4}));
  EXPECT_EQ(values(x * 2), (std::vector<float>{2, -4}));
  EXPECT_EQ(values(1 - x), (std::vector<float>{0, 3}));
  EXPECT_EQ(values(x + 0.5f), (std::vector<float>{1.5f, -1.5f}));
  EXPECT_EQ(values(1 / x), (std::vector<float>{1, -0.5f}));
  EXPECT_EQ(values(-x), (std::vector<float>{-1, 2}));
  EXPECT_EQ((x < 0).dtype(), DType::boolean);
  EXPECT_EQ(values(cast(0 >= x, DType::f32)), (std::vector<float>{0, 1}));
  EXPECT_EQ(values(cast(!(x > 0) || x <= 1, DType::f32)), (std::vector<float>{1, 1}));
  EXPECT_EQ(values(cast(x > 0 && x < 1, DType::f32)), (std::vector<float>{0, 0}));
  const Tensor whole(Array::of<int32_t>({3, 4}, {2}));
  EXPECT_EQ((whole * 2).dtype(), DType::i32);
  EXPECT_EQ((whole * 2.5).dtype(), DType::f32);
  EXPECT_EQ((whole + x).dtype(), DType::f32);
  static_assert(std::is_same_v<decltype(2.0 * 3.0), double>);
}

TEST(Pointwise, WhereSelects) {
  const Array cond = Array::of<double>({1, 0, 2, 0, 0, 1}, {2, 3}).cast(DType::boolean);
  for (DType dtype : {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i8, DType::i16, DType::i32,
                      DType::i64, DType::u8, DType::boolean}) {
    const Array a = of(dtype, {1, 0, 1}), b = Array::full(dtype, {2, 1}, 0);
    for (const Array& y : {where(cond, a, b).array(), run_reference("where", {cond, a, b})}) {
      ASSERT_EQ(y.dtype(), dtype);
      EXPECT_EQ(y.cast(DType::f64).to_vector<double>(), (std::vector<double>{1, 0, 1, 0, 0, 1}))
          << to_string(dtype);
    }
  }
  // A value that is not chosen leaves no trace, and bytes other than 1 are true.
  const Tensor masked = where(of(DType::f32, {1, 0}), of(DType::f32, {3, kNan}), -kInf);
  EXPECT_EQ(masked.array().to_vector<float>(),
            (std::vector<float>{3, -std::numeric_limits<float>::infinity()}));
  EXPECT_EQ(where(cond, 1, 0).dtype(), DType::i64);
  EXPECT_EQ(where(cond, 1.5, 0).dtype(), DType::f32);
  // Long rows, one-element operands in every place.
  const Array big = random_array(DType::f32, {130, 300}, -1, 1, 9);
  const Array mask = (Tensor(big) > 0).array();
  for (const Array& y :
       {where(mask, big, 0).array(), where(mask, big, Tensor(Array::zeros(DType::f32, {300}))).array()})
    for (int64_t i = 0; i < big.size(); i += 7) ASSERT_EQ(y.get_flat(i), std::max(big.get_flat(i), 0.0));
  const Array by_column = where(mask.slice(1, 0, 1), big, -1).array();
  for (int64_t i = 0; i < big.size(); i += 7)
    ASSERT_EQ(by_column.get_flat(i), mask.get_flat(i / 300 * 300) ? big.get_flat(i) : -1);
}

TEST(Pointwise, LogicalOpsFollowTheirTables) {
  const Array a = of(DType::boolean, {0, 0, 1, 1}), b = of(DType::boolean, {0, 1, 0, 1});
  const std::map<std::string, std::vector<double>> tables = {
      {"logical_and", {0, 0, 0, 1}}, {"logical_or", {0, 1, 1, 1}}, {"logical_xor", {0, 1, 1, 0}}};
  for (const auto& [op, want] : tables)
    for (const Array& y : {apply1(op, {a, b}).array(), run_reference(op, {a, b})}) {
      EXPECT_EQ(y.dtype(), DType::boolean);
      EXPECT_EQ(y.cast(DType::f64).to_vector<double>(), want) << op;
    }
  for (const Array& y : {logical_not(a).array(), run_reference("logical_not", {a})})
    EXPECT_EQ(y.cast(DType::f64).to_vector<double>(), (std::vector<double>{1, 1, 0, 0}));
  EXPECT_EQ(logical_and(of(DType::f32, {kNan, 0, -1}), 1).array().cast(DType::f64).to_vector<double>(),
            (std::vector<double>{1, 0, 1}));
}

TEST(Pointwise, PredicatesSeeNanAndInfinity) {
  for (DType dtype : {DType::f32, DType::f64, DType::f16, DType::bf16}) {
    const Array x = of(dtype, {0, kNan, kInf, -kInf, 1});
    const std::map<std::string, std::vector<double>> expected = {
        {"is_nan", {0, 1, 0, 0, 0}}, {"is_inf", {0, 0, 1, 1, 0}}, {"is_finite", {1, 0, 0, 0, 1}}};
    for (const auto& [op, want] : expected)
      for (const Array& y : {apply1(op, {x}).array(), run_reference(op, {x})})
        EXPECT_EQ(y.cast(DType::f64).to_vector<double>(), want) << op << " " << to_string(dtype);
  }
}

TEST(Pointwise, CastBetweenAllTypes) {
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

TEST(Pointwise, ClipHoldsBetweenBounds) {
  const Array x = of(DType::f32, {-5, -1, 0.5, 1, 7, kNan, kInf, -kInf});
  const std::vector<float> y = clip(x, -1, 1).array().to_vector<float>();
  EXPECT_EQ(std::vector<float>(y.begin(), y.begin() + 5), (std::vector<float>{-1, -1, 0.5f, 1, 1}));
  EXPECT_TRUE(std::isnan(y[5]));
  EXPECT_EQ(y[6], 1);
  EXPECT_EQ(y[7], -1);
  EXPECT_EQ(clip(Array::of<int32_t>({-5, 0, 5}, {3}), -2, kInf).array().to_vector<int32_t>(),
            (std::vector<int32_t>{-2, 0, 5}));
}

// Ops with a loop of their own run as one launch, without a copy of strided operands; others fall back with
// their names.
TEST(Pointwise, OneVectorKernelRuns) {
  const Array x = random_array(DType::f32, {8, 9}, 0.5, 1, 3), row = random_array(DType::f32, {9}, 0.5, 1, 3);
  const Array turned = random_array(DType::f32, {9, 8}, 0.5, 1, 3).transpose(0, 1);
  for (const char* op :
       {"neg",     "exp",  "log",  "sqrt",  "sin",      "cos",        "tanh",   "erf",   "floor",
        "abs",     "sign", "ceil", "round", "square",   "reciprocal", "rsqrt",  "log1p", "expm1",
        "sigmoid", "relu", "gelu", "silu",  "softplus", "tan",        "is_nan", "is_inf"})
    EXPECT_EQ(kernels(op, {turned}), std::vector<std::string>{std::string(op) + "/simd"});
  for (const char* op : {"add", "sub", "mul", "div", "maximum", "minimum", "pow", "mod", "less", "equal",
                         "greater", "greater_equal", "less_equal", "not_equal", "tanh_backward",
                         "sigmoid_backward", "relu_backward", "gelu_backward", "silu_backward"}) {
    EXPECT_EQ(kernels(op, {x, row}), std::vector<std::string>{std::string(op) + "/simd"});
    EXPECT_EQ(kernels(op, {turned, x}), std::vector<std::string>{std::string(op) + "/simd"});
  }
  EXPECT_EQ(kernels("where", {apply1("less", {x, row}).array(), x, row}),
            std::vector<std::string>{"where/simd"});
  EXPECT_EQ(kernels("cast", {turned}, {{"dtype", DType::f16}}), std::vector<std::string>{"cast/simd"});
  const Array bytes = Array::full(DType::u8, {3}, 2);
  EXPECT_EQ(kernels("add", {bytes, bytes}), std::vector<std::string>{"add/loops"});
  EXPECT_TRUE(kernels("stop_gradient", {x}).size() <= 1);  // a view; only the result's own memory is filled
}

TEST(Pointwise, EqualBitsForAnyNumberOfThreads) {
  const Array x = random_array(DType::f32, {317, 331}, -3, 3, 7),
              row = random_array(DType::f32, {331}, 0.5, 2, 8);
  const int before = num_threads();
  std::vector<float> want[3];
  for (int threads : {1, 2, 4}) {
    set_num_threads(threads);
    const Tensor results[] = {exp(x), x * row, pow(exp(x), row)};
    for (int k = 0; k < 3; ++k) {
      if (threads == 1) want[k] = results[k].array().to_vector<float>();
      EXPECT_EQ(results[k].array().to_vector<float>(), want[k]) << threads << " threads";
    }
  }
  set_num_threads(before);
}

TEST(Pointwise, GradientCompanions) {
  const Array x = random_array(DType::f64, {50}, -3, 3, 5), g = random_array(DType::f64, {50}, -1, 1, 6);
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

TEST(Pointwise, ErrorsNameBothSides) {
  const auto message = [](const std::function<void()>& f) -> std::string {
    try {
      f();
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::InvalidArgument);
      return e.what();
    }
    return "no error";
  };
  const Array a = Array::zeros(DType::f32, {2, 3}), b = Array::zeros(DType::f32, {2, 4});
  EXPECT_NE(message([&] { add(a, b); }).find("axis 1 is 3 against 4"), std::string::npos);
  EXPECT_NE(message([&] { exp(Array::zeros(DType::i32, {2})); }).find("x must be floating"),
            std::string::npos);
  EXPECT_NE(message([&] { clip(a, 2, 1); }).find("above high"), std::string::npos);
  EXPECT_NE(message([&] { gelu(a, "fast"); }).find("'fast'"), std::string::npos);
  EXPECT_NE(message([&] { add(a, Tensor()); }).find("undefined"), std::string::npos);
}

}  // namespace
}  // namespace fovea
