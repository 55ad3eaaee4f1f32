// Pointwise ops of two and three operands: values against the C++ library in double, layouts, types, special
// values; and which kernel runs.
#include "frontends/cpp/trace.h"
#include "tests/support/errors.h"
#include "tests/unit/pointwise_test_util.h"

namespace fovea {
namespace {

using namespace test;

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

TEST(Pointwise, NothingTurnedRoundIsNothing) {
  const auto module = trace(
      [](const std::vector<Tensor>& x) {
        return std::vector<Tensor>{where(x[1], permute(x[0], {2, 1, 0}), 0.0),
                                   permute(x[0], {2, 1, 0}) + x[2]};
      },
      {{DType::f32, {0, 4, 8}}, {DType::boolean, {8, 1, 1}}, {DType::f32, {8, 4, 0}}});
  const std::vector<Array> y =
      Program(module, "main")
          .run({Array::zeros(DType::f32, {0, 4, 8}), Array::zeros(DType::boolean, {8, 1, 1}),
                Array::zeros(DType::f32, {8, 4, 0})});
  for (const Array& a : y) EXPECT_EQ(a.shape(), (Dims{8, 4, 0}));
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
  const Array big = random_array({130, 300}, 9, DType::f32, -1, 1);
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

// Ops with a loop of their own run as one launch, without a copy of strided operands; others fall back with
// their names.
TEST(Pointwise, OneVectorKernelRuns) {
  const Array x = random_array({8, 9}, 3, DType::f32, 0.5, 1), row = random_array({9}, 3, DType::f32, 0.5, 1);
  const Array turned = random_array({9, 8}, 3, DType::f32, 0.5, 1).transpose(0, 1);
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
  const Array x = random_array({317, 331}, 7, DType::f32, -3, 3),
              row = random_array({331}, 8, DType::f32, 0.5, 2);
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

TEST(Pointwise, ErrorsNameBothSides) {
  const Array a = Array::zeros(DType::f32, {2, 3}), b = Array::zeros(DType::f32, {2, 4});
  EXPECT_NE(test::message_of([&] { add(a, b); }).find("axis 1 is 3 against 4"), std::string::npos);
  EXPECT_NE(test::message_of([&] { exp(Array::zeros(DType::i32, {2})); }).find("x must be floating"),
            std::string::npos);
  EXPECT_NE(test::message_of([&] { clip(a, 2, 1); }).find("above high"), std::string::npos);
  EXPECT_NE(test::message_of([&] { gelu(a, "fast"); }).find("'fast'"), std::string::npos);
  EXPECT_NE(test::message_of([&] { add(a, Tensor()); }).find("undefined"), std::string::npos);
}

}  // namespace
}  // namespace fovea
