// Converters of single ONNX ops, where ONNX's own node tests do not reach: later opsets, unknown sizes, three
// axes, types. Expected values come from plain loops in double.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <numbers>

#include "frontends/import/onnx.h"
#include "tests/support/onnx_writer.h"
#include "tests/unit/ops_test_util.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using namespace test;  // NOLINT: the writer's vocabulary

constexpr double kInf = std::numeric_limits<double>::infinity();

int onnx_type(DType t) {
  static const std::map<DType, int> numbers{{DType::f32, 1},     {DType::u8, 2},   {DType::i8, 3},
                                            {DType::i16, 5},     {DType::i32, 6},  {DType::i64, 7},
                                            {DType::boolean, 9}, {DType::f16, 10}, {DType::f64, 11}};
  return numbers.at(t);
}

Message text_attribute(std::string_view name, std::string_view value) {
  return Message().text(1, name).text(4, value).number(20, 3);
}

// One node of an op, its operands and what is done with them.
struct OneNode {
  std::string op;
  std::vector<Array> in;  // an undefined one is left out
  std::vector<Message> attributes = {};
  int64_t version = 18;
  std::vector<size_t> constants = {};               // operands that are initialisers
  std::vector<std::vector<std::string>> dims = {};  // of operands, where they are not their own sizes
  int outputs = 1;
};

class OnnxOps : public testing::Test {
 protected:
  void SetUp() override {
    path_ = fs::path(testing::TempDir()) / ("fovea_onnx_ops_" + std::to_string(getpid()) + ".onnx");
  }
  void TearDown() override { fs::remove(path_); }

  std::shared_ptr<Module> read(const OneNode& n) const {
    std::vector<std::string> names, results;
    std::vector<Message> inputs, initializers, outputs;
    for (size_t i = 0; i < n.in.size(); ++i) {
      const Array& a = n.in[i];
      names.push_back(a.defined() ? "x" + std::to_string(i) : "");
      if (!a.defined()) continue;
      const Array whole = a.contiguous();
      if (std::find(n.constants.begin(), n.constants.end(), i) != n.constants.end()) {
        Message tensor;
        for (int64_t d : whole.shape()) tensor.number(1, d);
        tensor.number(2, onnx_type(a.dtype())).text(8, names[i]);
        tensor.text(9, {static_cast<const char*>(whole.raw()), static_cast<size_t>(whole.nbytes())});
        initializers.push_back(tensor);
        continue;
      }
      std::vector<std::string> sizes;
      for (int64_t d : a.shape()) sizes.push_back(std::to_string(d));
      inputs.push_back(value(names[i], onnx_type(a.dtype()), i < n.dims.size() ? n.dims[i] : sizes));
    }
    for (int k = 0; k < n.outputs; ++k) {
      results.push_back("y" + std::to_string(k));
      outputs.push_back(value(results.back(), kFloat, {}));
    }
    const Message bytes =
        model(graph({node(n.op, names, results, n.attributes)}, initializers, inputs, outputs), n.version);
    std::ofstream(path_, std::ios::binary) << bytes.bytes();
    return import_onnx(path_.string());
  }

  // Runs it on `in`, or on its own operands.
  std::vector<Array> run(const OneNode& n, std::vector<Array> in = {}) const {
    const auto module = read(n);
    if (in.empty()) in = n.in;
    std::vector<Array> args;
    for (size_t i = 0; i < in.size(); ++i)
      if (in[i].defined() && std::find(n.constants.begin(), n.constants.end(), i) == n.constants.end())
        args.push_back(in[i]);
    return Program(module, "main").run(args);
  }

  std::string error_of(const OneNode& n, ErrorKind kind) const {
    try {
      read(n);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), kind) << e.what();
      return e.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return "";
  }

  fs::path path_;
};

void expect_close(const Array& got, const Array& want, double tolerance) {
  ASSERT_EQ(got.shape(), want.shape());
  const auto a = got.to_vector<double>(), b = want.to_vector<double>();
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    ASSERT_LE(std::abs(a[i] - b[i]), tolerance * std::max(1.0, std::abs(b[i])))
        << "element " << i << " is " << a[i];
  }
}

// An array of this shape, filled by f(index).
template <class F>
Array filled(Dims shape, F f) {
  Array a(DType::f64, shape);
  each_index(shape, [&](const Dims& at, int64_t i) { a.set_flat(i, f(at)); });
  return a;
}
double element(const Array& a, const Dims& at) { return a.get_flat(flat(a.shape(), at)); }

Array integers_of(const std::vector<int64_t>& values) {
  return Array::of(values, {static_cast<int64_t>(values.size())});
}

// --- elementwise

TEST_F(OnnxOps, FunctionsOfAnglesAgreeWithTheCLibrary) {
  const struct {
    const char* op;
    double (*f)(double);
    double low, high;
  } functions[] = {{"Atan", std::atan, -60, 60}, {"Asin", std::asin, -1, 1},
                   {"Acos", std::acos, -1, 1},   {"Sinh", std::sinh, -9, 9},
                   {"Cosh", std::cosh, -9, 9},   {"Asinh", std::asinh, -50, 50},
                   {"Acosh", std::acosh, 1, 50}, {"Atanh", std::atanh, -0.99, 0.99}};
  for (const auto& [op, f, low, high] : functions)
    for (const DType type : {DType::f64, DType::f32}) {
      SCOPED_TRACE(op);
      const Array x = random_array({400}, 1, type, low, high);
      const Array want = filled({400}, [&](const Dims& at) { return f(x.get_flat(at[0])); });
      expect_close(run({op, {x}})[0], want, type == DType::f64 ? 2e-15 * 400 : 1e-5);
    }
}

TEST_F(OnnxOps, FunctionsKeepTheirValuesAtTheEnds) {
  const auto at = [&](const char* op, double x) { return run({op, {Array::scalar(x)}})[0].item(); };
  EXPECT_DOUBLE_EQ(at("Atan", kInf), std::numbers::pi / 2);
  EXPECT_DOUBLE_EQ(at("Atan", -kInf), -std::numbers::pi / 2);
  EXPECT_DOUBLE_EQ(at("Asin", 1), std::numbers::pi / 2);
  EXPECT_DOUBLE_EQ(at("Acos", -1), std::numbers::pi);
  EXPECT_TRUE(std::isnan(at("Asin", 1.5)));
  EXPECT_TRUE(std::signbit(at("Asinh", -0.0)));
  EXPECT_DOUBLE_EQ(at("Asinh", 1e200), std::asinh(1e200));
  EXPECT_NEAR(at("Sinh", 710) / std::sinh(710), 1, 1e-12);  // e^710 itself is infinite
  EXPECT_NEAR(at("Cosh", -710) / std::cosh(710), 1, 1e-12);
}

TEST_F(OnnxOps, RemaindersTakeTheSignTheyShould) {
  const Array a = Array::of<double>({5, -5, 5, -5, 3, -3, 0, -0.0, 5, kInf}, {10});
  const Array b = Array::of<double>({3, 3, -3, -3, kInf, kInf, 2, 2, 0, 2}, {10});
  const auto with = [&](double (*f)(double, double)) {
    return filled({10}, [&](const Dims& at) { return f(a.get_flat(at[0]), b.get_flat(at[0])); });
  };
  expect_close(run({"Mod", {a, b}, {int_attribute("fmod", 1)}})[0], with(std::fmod), 0);
  const auto floored = [](double x, double y) {
    const double rest = std::fmod(x, y);
    return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
  };
  expect_close(run({"Mod", {a, b}})[0], with(floored), 0);
  EXPECT_EQ(run({"Mod", {integers_of({7, -7, 7, -7}), integers_of({3, 3, -3, -3})}})[0].to_vector<int64_t>(),
            (std::vector<int64_t>{1, 2, -2, -1}));
  EXPECT_EQ(
      run({"Div", {integers_of({7, -7, 7, -7, 6}), integers_of({3, 3, -3, -3, -3})}})[0].to_vector<int64_t>(),
      (std::vector<int64_t>{2, -2, -2, 2, -2}));
}

TEST_F(OnnxOps, BitsAreThoseOfTwosComplement) {
  for (const DType type : {DType::u8, DType::i8, DType::i32, DType::i64}) {
    const bool is_signed = type != DType::u8;
    const Array a = random_array({64}, 2, type, is_signed ? -120 : 0, 120);
    const Array b = random_array({64}, 3, type, is_signed ? -120 : 0, 120);
    const auto x = a.to_vector<int64_t>(), y = b.to_vector<int64_t>();
    const auto expect = [&](const char* op, auto f) {
      SCOPED_TRACE(op);
      std::vector<int64_t> want;
      for (size_t i = 0; i < x.size(); ++i) want.push_back(f(x[i], y[i]));
      const bool one = std::string_view(op) == "BitwiseNot";
      const Array got = run({op, one ? std::vector<Array>{a} : std::vector<Array>{a, b}})[0];
      EXPECT_EQ(got.dtype(), type);
      EXPECT_EQ(got.to_vector<int64_t>(), Array::of(want, {64}).cast(type).to_vector<int64_t>());
    };
    expect("BitwiseAnd", [](int64_t p, int64_t q) { return p & q; });
    expect("BitwiseOr", [](int64_t p, int64_t q) { return p | q; });
    expect("BitwiseXor", [](int64_t p, int64_t q) { return p ^ q; });
    expect("BitwiseNot", [](int64_t p, int64_t) { return ~p; });
  }
  const Array x = Array::of<uint8_t>({1, 255, 128, 77}, {4}), by = Array::of<uint8_t>({7, 1, 7, 9}, {4});
  EXPECT_EQ(run({"BitShift", {x, by}, {text_attribute("direction", "LEFT")}})[0].to_vector<int64_t>(),
            (std::vector<int64_t>{128, 254, 0, 0}));
  EXPECT_EQ(run({"BitShift", {x, by}, {text_attribute("direction", "RIGHT")}})[0].to_vector<int64_t>(),
            (std::vector<int64_t>{0, 127, 1, 0}));
}

TEST_F(OnnxOps, LaterActivationsAreTheirFormulas) {
  const Array x = random_array({50}, 4, DType::f64, -4, 4);
  const auto sigmoid_of = [](double v) { return 1 / (1 + std::exp(-v)); };
  const auto expect = [&](const OneNode& n, auto f) {
    SCOPED_TRACE(n.op);
    expect_close(run(n)[0], filled({50}, [&](const Dims& at) { return f(x.get_flat(at[0])); }), 1e-12);
  };
  expect({"Gelu", {x}, {}, 20}, [](double v) { return v / 2 * (1 + std::erf(v / std::sqrt(2.0))); });
  expect({"Gelu", {x}, {text_attribute("approximate", "tanh")}, 20}, [](double v) {
    return v / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (v + 0.044715 * v * v * v)));
  });
  expect({"Mish", {x}}, [](double v) { return v * std::tanh(std::log1p(std::exp(v))); });
  expect({"Swish", {x}, {float_attribute("alpha", 0.5F)}, 24},
         [&](double v) { return v * sigmoid_of(v / 2); });
}

// --- sizes that are not known

TEST_F(OnnxOps, UnknownSizesStayOpenThroughMovement) {
  const Array x = random_array({3, 5, 4}, 5, DType::f64), other = random_array({2, 7, 4}, 6, DType::f64);
  const std::vector<std::vector<std::string>> dims{{"B", "L", "4"}};
  const OneNode rest{
      "Slice", {x, integers_of({1}), integers_of({INT64_MAX}), integers_of({1})}, {}, 18, {1, 2, 3}, dims};
  const OneNode back{
      "Slice",      {x, integers_of({-1}), integers_of({INT64_MIN}), integers_of({1}), integers_of({-2})},
      {},           18,
      {1, 2, 3, 4}, dims};
  const OneNode joined{"Reshape", {x, integers_of({0, -1})}, {}, 18, {1}, dims};
  const OneNode wide{"Expand", {x, integers_of({2, 1, 1, 4})}, {}, 18, {1}, dims};
  const OneNode mirror{"Pad", {x, integers_of({2, 3})}, {text_attribute("mode", "reflect")}, 18, {1}, dims};
  const OneNode edge{
      "Pad", {x, integers_of({2, 1}), {}, integers_of({-2})}, {text_attribute("mode", "edge")}, 18, {1, 3},
      dims};
  for (const Array& a : {x, other}) {
    const int64_t b = a.dim(0), l = a.dim(1);
    const auto on = [&](const OneNode& n) {
      return run(n, [&] {
        auto in = n.in;
        in[0] = a;
        return in;
      }())[0];
    };
    expect_close(on(rest),
                 filled({b, l - 1, 4},
                        [&](const Dims& i) {
                          return element(a, {i[0], i[1] + 1, i[2]});
                        }),
                 0);
    expect_close(on(back),
                 filled({b, (l + 1) / 2, 4},
                        [&](const Dims& i) {
                          return element(a, {i[0], l - 1 - 2 * i[1], i[2]});
                        }),
                 0);
    expect_close(on(joined),
                 filled({b, l * 4},
                        [&](const Dims& i) {
                          return element(a, {i[0], i[1] / 4, i[1] % 4});
                        }),
                 0);
    expect_close(on(wide),
                 filled({2, b, l, 4},
                        [&](const Dims& i) {
                          return element(a, {i[1], i[2], i[3]});
                        }),
                 0);
    expect_close(on(edge),
                 filled({b, l + 3, 4},
                        [&](const Dims& i) {
                          return element(a, {i[0], std::clamp<int64_t>(i[1] - 2, 0, l - 1), i[2]});
                        }),
                 0);
  }
  EXPECT_NE(error_of(mirror, ErrorKind::InvalidArgument).find("pads has 2 numbers, 6 are needed"),
            std::string::npos);
}

TEST_F(OnnxOps, ReflectedAndWrappedPadding) {
  const Array x = random_array({2, 5}, 7, DType::f64);
  const OneNode reflect{"Pad", {x, integers_of({0, 3, 0, 4})}, {text_attribute("mode", "reflect")}, 18, {1}};
  expect_close(run(reflect)[0],
               filled({2, 12},
                      [&](const Dims& i) {
                        const int64_t at = std::abs(i[1] - 3);
                        return element(x, {i[0], at > 4 ? 8 - at : at});
                      }),
               0);
  const OneNode wrap{"Pad", {x, integers_of({0, 3, 0, 4})}, {text_attribute("mode", "wrap")}, 19, {1}};
  expect_close(run(wrap)[0],
               filled({2, 12},
                      [&](const Dims& i) {
                        return element(x, {i[0], (i[1] + 2) % 5});
                      }),
               0);
}

TEST_F(OnnxOps, SplitsWhatDoesNotDivideEvenly) {
  const Array x = random_array({7, 2}, 8, DType::f64);
  const auto parts = run({"Split", {x}, {int_attribute("num_outputs", 3)}, 18, {}, {}, 3});
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[0].shape(), (Dims{3, 2}));
  expect_close(parts[2], filled({1, 2}, [&](const Dims& i) { return element(x, {6, i[1]}); }), 0);
}

// --- reading and writing by position

TEST_F(OnnxOps, ScattersWithEveryReduction) {
  const Array x = random_array({4, 3}, 9, DType::f64, 0.5, 2),
              updates = random_array({5, 3}, 10, DType::f64, 0.5, 2);
  const Array rows = Array::of<int64_t>({1, -1, 1, 0, 1}, {5, 1});  // row 1 three times
  const std::vector<int64_t> at{1, 3, 1, 0, 1};
  const std::map<std::string, double (*)(double, double)> reductions{
      {"add", [](double a, double b) { return a + b; }},
      {"mul", [](double a, double b) { return a * b; }},
      {"max", [](double a, double b) { return std::max(a, b); }},
      {"min", [](double a, double b) { return std::min(a, b); }}};
  for (const auto& [name, f] : reductions) {
    SCOPED_TRACE(name);
    Array want = x.copy();
    for (int64_t u = 0; u < 5; ++u)
      for (int64_t j = 0; j < 3; ++j) {
        const int64_t place = at[static_cast<size_t>(u)] * 3 + j;
        want.set_flat(place, f(want.get_flat(place), element(updates, {u, j})));
      }
    const Message reduction = text_attribute("reduction", name);
    expect_close(run({"ScatterND", {x, rows, updates}, {reduction}})[0], want, 1e-13);
    const Array wide = rows.broadcast_to({5, 3}).contiguous();
    expect_close(run({"ScatterElements", {x, wide, updates}, {reduction}})[0], want, 1e-13);
  }
}

TEST_F(OnnxOps, ScattersReplaceEvenNegativeZeroAndNan) {
  const Array x = Array::of<double>({1, 2, 3, 4}, {4}), at = Array::of<int64_t>({2, 0}, {2, 1});
  const Array got = run({"ScatterND", {x, at, Array::of<double>({-0.0, std::nan("")}, {2})}})[0];
  EXPECT_TRUE(std::isnan(got.get_flat(0)));
  EXPECT_TRUE(std::signbit(got.get_flat(2)));
  EXPECT_EQ(got.get_flat(3), 4);
  const Array flags = Array::of<int64_t>({1, 1, 0}, {3}).cast(DType::boolean);
  const Array set = run(
      {"ScatterND",
       {flags, Array::of<int64_t>({1, 2}, {2, 1}), Array::of<int64_t>({0, 1}, {2}).cast(DType::boolean)}})[0];
  EXPECT_EQ(set.to_vector<int64_t>(), (std::vector<int64_t>{1, 0, 1}));
}

TEST_F(OnnxOps, GathersCheckTheirPositions) {
  const Array x = random_array({3, 4}, 11, DType::f64);
  const Array good = Array::of<int64_t>({-1, 2, 0, -4}, {2, 2});
  EXPECT_EQ(run({"GatherND", {x, good}})[0].to_vector<double>(),
            (std::vector<double>{element(x, {2, 2}), element(x, {0, 0})}));
  // One past the end of a row must not become the next row's first.
  const Array bad = Array::of<int64_t>({0, 4}, {1, 2});
  EXPECT_THROW(run({"GatherND", {x, bad}}), Error);
  EXPECT_THROW(run({"ScatterND", {x, bad, Array::of<double>({1}, {1})}}), Error);
  EXPECT_THROW(run({"ScatterElements", {x, Array::of<int64_t>({3}, {1, 1}), Array::of<double>({1}, {1, 1})}}),
               Error);
}

// --- norms

TEST_F(OnnxOps, NormsOfLaterOpsets) {
  const Array x = random_array({2, 6, 5}, 12, DType::f64), scale = random_array({5}, 13, DType::f64);
  const Array rms = filled({2, 6, 5}, [&](const Dims& i) {
    double sum = 0;
    for (int64_t j = 0; j < 5; ++j) sum += element(x, {i[0], i[1], j}) * element(x, {i[0], i[1], j});
    return element(x, i) / std::sqrt(sum / 5 + 0.125) * scale.get_flat(i[2]);
  });
  expect_close(run({"RMSNormalization", {x, scale}, {float_attribute("epsilon", 0.125F)}, 23})[0], rms,
               1e-12);

  const auto grouped = [&](const Array& gamma, const Array& beta, auto of) {
    return filled({2, 6, 5}, [&](const Dims& i) {
      const int64_t first = i[1] / 2 * 2;
      double mean = 0, square = 0;
      for (int64_t c = first; c < first + 2; ++c)
        for (int64_t j = 0; j < 5; ++j) mean += element(x, {i[0], c, j}) / 10;
      for (int64_t c = first; c < first + 2; ++c)
        for (int64_t j = 0; j < 5; ++j) square += std::pow(element(x, {i[0], c, j}) - mean, 2) / 10;
      const int64_t p = of(i[1]);
      return (element(x, i) - mean) / std::sqrt(square + 0.125) * gamma.get_flat(p) + beta.get_flat(p);
    });
  };
  const std::vector<Message> attributes{int_attribute("num_groups", 3), float_attribute("epsilon", 0.125F)};
  const Array g3 = random_array({3}, 14, DType::f64), b3 = random_array({3}, 15, DType::f64);
  expect_close(run({"GroupNormalization", {x, g3, b3}, attributes, 18})[0],
               grouped(g3, b3, [](int64_t c) { return c / 2; }), 1e-12);
  const Array g6 = random_array({6}, 16, DType::f64), b6 = random_array({6}, 17, DType::f64);
  expect_close(run({"GroupNormalization", {x, g6, b6}, attributes, 21})[0],
               grouped(g6, b6, [](int64_t c) { return c; }), 1e-12);
}

// --- windows over three axes

struct Volume {
  Dims stride{2, 1, 1}, dilation{1, 2, 1}, low{1, 0, 2}, high{0, 1, 1};
  std::vector<Message> attributes() const {
    return {ints_attribute("strides", stride), ints_attribute("dilations", dilation),
            ints_attribute("pads", {low[0], low[1], low[2], high[0], high[1], high[2]})};
  }
  int64_t size(int d, int64_t n, int64_t k) const {
    const auto i = static_cast<size_t>(d);
    return (n + low[i] + high[i] - dilation[i] * (k - 1) - 1) / stride[i] + 1;
  }
};

TEST_F(OnnxOps, ConvolvesVolumesInGroups) {
  const Volume w;
  const Array x = random_array({2, 4, 5, 6, 3}, 18, DType::f64),
              k = random_array({6, 2, 2, 3, 2}, 19, DType::f64), bias = random_array({6}, 20, DType::f64);
  Dims shape{2, 6};
  for (int d = 0; d < 3; ++d) shape.push_back(w.size(d, x.dim(2 + d), k.dim(2 + d)));
  const Array want = filled(shape, [&](const Dims& o) {
    double sum = bias.get_flat(o[1]);
    each_index({2, 2, 3, 2}, [&](const Dims& t, int64_t) {
      Dims at{o[0], o[1] / 3 * 2 + t[0]};
      for (size_t d = 0; d < 3; ++d) {
        at.push_back(o[2 + d] * w.stride[d] + t[1 + d] * w.dilation[d] - w.low[d]);
        if (at.back() < 0 || at.back() >= x.dim(static_cast<int64_t>(2 + d))) return;
      }
      sum += element(x, at) * element(k, {o[1], t[0], t[1], t[2], t[3]});
    });
    return sum;
  });
  auto attributes = w.attributes();
  attributes.push_back(int_attribute("group", 2));
  expect_close(run({"Conv", {x, k, bias}, attributes})[0], want, 1e-12);
}

TEST_F(OnnxOps, TransposedVolumesAreTheAdjoint) {
  const Volume w;
  const Array x = random_array({1, 4, 3, 4, 5}, 21, DType::f64),
              k = random_array({4, 3, 2, 3, 2}, 22, DType::f64);
  const Dims extra{1, 0, 0};
  Dims shape{1, 6};
  for (size_t d = 0; d < 3; ++d)
    shape.push_back((x.shape()[2 + d] - 1) * w.stride[d] + w.dilation[d] * (k.shape()[2 + d] - 1) + 1 -
                    w.low[d] - w.high[d] + extra[d]);
  Array want = Array::zeros(DType::f64, shape);
  each_index(x.shape(), [&](const Dims& i, int64_t) {
    each_index({3, 2, 3, 2}, [&](const Dims& t, int64_t) {
      Dims at{0, i[1] / 2 * 3 + t[0]};
      for (size_t d = 0; d < 3; ++d) {
        at.push_back(i[2 + d] * w.stride[d] + t[1 + d] * w.dilation[d] - w.low[d]);
        if (at.back() < 0 || at.back() >= shape[2 + d]) return;
      }
      const int64_t place = flat(shape, at);
      want.set_flat(place, want.get_flat(place) + element(x, i) * element(k, {i[1], t[0], t[1], t[2], t[3]}));
    });
  });
  auto attributes = w.attributes();
  attributes.push_back(int_attribute("group", 2));
  attributes.push_back(ints_attribute("output_padding", extra));
  expect_close(run({"ConvTranspose", {x, k}, attributes})[0], want, 1e-12);
}

TEST_F(OnnxOps, PoolsVolumesAndSaysWhere) {
  const Volume w;
  const Array x = random_array({2, 3, 5, 6, 4}, 23, DType::f64);
  const Dims kernel{2, 2, 3};
  Dims shape{2, 3};
  for (int d = 0; d < 3; ++d) shape.push_back(w.size(d, x.dim(2 + d), kernel[static_cast<size_t>(d)]));
  Array place(DType::i64, shape), mean(DType::f64, shape);
  const Array best = filled(shape, [&](const Dims& o) {
    double most = -kInf, sum = 0, count = 0;
    each_index(kernel, [&](const Dims& t, int64_t) {
      Dims at{o[0], o[1]};
      for (size_t d = 0; d < 3; ++d) {
        at.push_back(o[2 + d] * w.stride[d] + t[d] * w.dilation[d] - w.low[d]);
        if (at.back() < 0 || at.back() >= x.shape()[2 + d]) return;
      }
      ++count;
      sum += element(x, at);
      if (element(x, at) <= most) return;
      most = element(x, at);
      place.set_flat(flat(shape, o), static_cast<double>(flat(x.shape(), at)));
    });
    mean.set_flat(flat(shape, o), sum / count);
    return most;
  });
  auto attributes = w.attributes();
  attributes.push_back(ints_attribute("kernel_shape", kernel));
  const auto got = run({"MaxPool", {x}, attributes, 18, {}, {}, 2});
  expect_close(got[0], best, 0);
  EXPECT_EQ(got[1].to_vector<int64_t>(), place.to_vector<int64_t>());
  expect_close(run({"AveragePool", {x}, attributes, 19})[0], mean, 1e-12);
}

TEST_F(OnnxOps, EinsumTakesDiagonals) {
  const Array x = random_array({2, 3, 4, 3}, 24, DType::f64), y = random_array({3, 4}, 25, DType::f64);
  const Array want = filled({2, 4}, [&](const Dims& i) {
    double sum = 0;
    for (int64_t d = 0; d < 3; ++d) sum += element(x, {i[0], d, i[1], d}) * element(y, {d, i[1]});
    return sum;
  });
  expect_close(run({"Einsum", {x, y}, {text_attribute("equation", "bdcd, dc -> bc")}})[0], want, 1e-12);
}

// --- attention

struct Heads {
  int64_t batch = 2, heads = 4, kv_heads = 4, lq = 3, lk = 5, d = 6, e = 4, past = 0;
  bool causal = false;
  double scale = 0, cap = 0;
  std::function<double(const Dims&)> bias = [](const Dims&) { return 0.0; };  // of (b, h, i, j)
};

// Attention as loops: a query without any key gives zeros.
Array attention_loops(const Heads& s, const Array& q, const Array& k, const Array& v) {
  const double scale = s.scale > 0 ? s.scale : 1 / std::sqrt(static_cast<double>(s.d));
  return filled({s.batch, s.heads, s.lq, s.e}, [&](const Dims& o) {
    const int64_t group = o[1] / (s.heads / s.kv_heads);
    std::vector<double> score(static_cast<size_t>(s.lk));
    double most = -kInf, sum = 0, y = 0;
    for (int64_t j = 0; j < s.lk; ++j) {
      double dot = 0;
      for (int64_t d = 0; d < s.d; ++d)
        dot += element(q, {o[0], o[1], o[2], d}) * element(k, {o[0], group, j, d});
      dot *= scale;
      if (s.cap > 0) dot = s.cap * std::tanh(dot / s.cap);
      dot += s.bias({o[0], o[1], o[2], j});
      if (s.causal && j > o[2] + s.past) dot = -kInf;
      score[static_cast<size_t>(j)] = dot;
      most = std::max(most, dot);
    }
    if (most == -kInf) return 0.0;
    for (int64_t j = 0; j < s.lk; ++j) {
      const double p = std::exp(score[static_cast<size_t>(j)] - most);
      sum += p;
      y += p * element(v, {o[0], group, j, o[3]});
    }
    return y / sum;
  });
}

TEST_F(OnnxOps, AttentionWithGroupsCapAndCausalMask) {
  Heads s{.kv_heads = 2, .causal = true, .scale = 0.3, .cap = 2};
  const Array q = random_array({2, 4, 3, 6}, 30, DType::f64, -3, 3),
              k = random_array({2, 2, 5, 6}, 31, DType::f64, -3, 3),
              v = random_array({2, 2, 5, 4}, 32, DType::f64);
  const OneNode n{
      "Attention",
      {q, k, v},
      {int_attribute("is_causal", 1), float_attribute("scale", 0.3F), float_attribute("softcap", 2)},
      23};
  s.scale = 0.3F;
  expect_close(run(n)[0], attention_loops(s, q, k, v), 1e-12);
}

TEST_F(OnnxOps, AttentionMasksAndRowsWithoutKeys) {
  Heads s;
  const Array q = random_array({2, 4, 3, 6}, 33, DType::f64), k = random_array({2, 4, 5, 6}, 34, DType::f64),
              v = random_array({2, 4, 5, 4}, 35, DType::f64);
  Array mask = random_array({2, 1, 3, 5}, 36, DType::f64);
  const Array bias = mask.copy();
  Array allowed(DType::boolean, {2, 1, 3, 5});
  for (int64_t i = 0; i < mask.size(); ++i) allowed.set_flat(i, mask.get_flat(i) > 0 && (i < 5 || i >= 10));
  s.bias = [&](const Dims& i) { return element(allowed, {i[0], 0, i[2], i[3]}) != 0 ? 0.0 : -kInf; };
  expect_close(run({"Attention", {q, k, v, allowed}, {}, 23})[0], attention_loops(s, q, k, v), 1e-12);
  s.bias = [&](const Dims& i) { return element(bias, {i[0], 0, i[2], i[3]}); };
  expect_close(run({"Attention", {q, k, v, bias}, {}, 23})[0], attention_loops(s, q, k, v), 1e-12);
}

TEST_F(OnnxOps, AttentionGrowsItsCacheAtAnyLength) {
  const std::vector<std::vector<std::string>> dims{
      {"B", "L", "24"}, {"B", "L", "12"}, {"B", "L", "8"}, {}, {"B", "2", "P", "6"}, {"B", "2", "P", "4"}};
  for (const auto& [batch, length, past] : {std::tuple{1, 1, 4}, {2, 3, 2}, {3, 2, 0}}) {
    Heads s{.batch = batch,
            .heads = 4,
            .kv_heads = 2,
            .lq = length,
            .lk = past + length,
            .past = past,
            .causal = true};
    const Array q = random_array({batch, length, 24}, 40, DType::f64),
                k = random_array({batch, length, 12}, 41, DType::f64),
                v = random_array({batch, length, 8}, 42, DType::f64);
    const Array old_k = random_array({batch, 2, past, 6}, 43, DType::f64),
                old_v = random_array({batch, 2, past, 4}, 44, DType::f64);
    const OneNode n{
        "Attention",
        {q, k, v, {}, old_k, old_v},
        {int_attribute("is_causal", 1), int_attribute("q_num_heads", 4), int_attribute("kv_num_heads", 2)},
        23,
        {},
        dims,
        3};
    const auto got = run(n);
    const auto grown = [&](const Array& old, const Array& fresh, int64_t size) {
      return filled({batch, 2, past + length, size}, [&](const Dims& i) {
        return i[2] < past ? element(old, i) : element(fresh, {i[0], i[2] - past, i[1] * size + i[3]});
      });
    };
    const Array keys = grown(old_k, k, 6), values = grown(old_v, v, 4);
    expect_close(got[1], keys, 0);
    expect_close(got[2], values, 0);
    const Array heads = filled({batch, 4, length, 6}, [&](const Dims& i) {
      return element(q, {i[0], i[2], i[1] * 6 + i[3]});
    });
    const Array y = attention_loops(s, heads, keys, values);
    expect_close(got[0],
                 filled({batch, length, 16},
                        [&](const Dims& i) {
                          return element(y, {i[0], i[2] / 4, i[1], i[2] % 4});
                        }),
                 1e-12);
  }
}

TEST_F(OnnxOps, AttentionIsMadeOfPlainOperations) {
  const Array x = random_array({1, 2, 3, 4}, 45);
  const auto module = read({"Attention", {x, x, x}, {}, 23});
  int products = 0, softmaxes = 0;
  for (const Node& n : module->function("main").nodes) {
    products += n.op->name() == "matmul";
    softmaxes += n.op->name() == "softmax";
    EXPECT_NE(n.op->name(), "attention");
  }
  EXPECT_EQ(products, 2);
  EXPECT_EQ(softmaxes, 1);
}

TEST_F(OnnxOps, RotatesPositions) {
  const Array x = random_array({2, 2, 3, 6}, 46, DType::f64);  // of 6 channels 4 turn
  const Array cosine = random_array({8, 2}, 47, DType::f64), sine = random_array({8, 2}, 48, DType::f64);
  const Array at = Array::of<int64_t>({0, 1, 2, 5, 6, 7}, {2, 3});
  for (const bool pairs : {false, true}) {
    const Array want = filled({2, 2, 3, 6}, [&](const Dims& i) {
      if (i[3] >= 4) return element(x, i);
      const int64_t angle = pairs ? i[3] / 2 : i[3] % 2;
      const bool first = pairs ? i[3] % 2 == 0 : i[3] < 2;
      const int64_t a = pairs ? 2 * angle : angle, b = pairs ? 2 * angle + 1 : angle + 2;
      const auto place = static_cast<int64_t>(element(at, {i[0], i[2]}));
      const double c = element(cosine, {place, angle}), s = element(sine, {place, angle});
      const double p = element(x, {i[0], i[1], i[2], a}), q = element(x, {i[0], i[1], i[2], b});
      return first ? p * c - q * s : p * s + q * c;
    });
    const OneNode n{"RotaryEmbedding",
                    {x, cosine, sine, at},
                    {int_attribute("interleaved", pairs), int_attribute("rotary_embedding_dim", 4)},
                    23};
    expect_close(run(n)[0], want, 1e-12);
  }
}

// --- what is refused

TEST_F(OnnxOps, RefusalsNameTheNodeAndTheReason) {
  const Array x = random_array({2, 3}, 50);
  const auto says = [&](const OneNode& n, ErrorKind kind, const std::string& part) {
    const std::string message = error_of(n, kind);
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_NE(message.find("(" + n.op + ")"), std::string::npos) << message;
  };
  const auto bad = ErrorKind::InvalidArgument;
  says({"Softmax", {x}, {int_attribute("axis", 2)}}, bad, "axis 2 is out of range for rank 2");
  says({"ReduceSum", {x, integers_of({5})}, {}, 18, {1}}, bad, "axis 5 is out of range for rank 2");
  says({"Gemm", {x, random_array({3}, 51)}}, bad, "rank");
  says({"Split", {x}, {int_attribute("axis", 1)}, 13, {}, {}, 2}, bad, "does not divide into 2");
  says({"Slice", {x, integers_of({0}), integers_of({1}), integers_of({0, 1})}, {}, 18, {1, 2, 3}}, bad,
       "axes has 2 numbers, 1 are needed");
  says({"MaxPool", {x}, {ints_attribute("kernel_shape", {2})}}, bad, "rank 2, at least 3 is needed");
  says({"Conv",
        {random_array({1, 1, 4, 4}, 52), random_array({1, 1, 2, 2}, 53)},
        {ints_attribute("strides", {0, 1})}},
       bad, "strides is 0");
  says({"Reshape", {x, integers_of({6})}}, ErrorKind::Unsupported, "must be known");
  says({"Attention", {x, x, x}, {}, 23}, bad, "rank 2, 3 or 4 is needed");
  says({"Dropout", {x, Array::scalar(0.5F), Array::scalar(int64_t{1}).cast(DType::boolean)}, {}, 13, {1, 2}},
       ErrorKind::Unsupported, "training");
}

}  // namespace
}  // namespace fovea
