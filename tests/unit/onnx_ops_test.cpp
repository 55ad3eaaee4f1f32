// Converters of single ONNX ops, where ONNX's own node tests do not reach: later opsets, unknown sizes,
// types. Expected values come from plain loops in double.
#include "tests/unit/onnx_ops_test_util.h"

namespace fovea {
namespace {

using namespace test;  // NOLINT: the writer's vocabulary

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

TEST_F(OnnxOps, ScattersIntoABoxAreAChoice) {
  const auto ops_of = [](const Module& module) {
    std::string names;
    for (const Node& n : module.function("main").nodes) names += n.op->name() + " ";
    return names;
  };
  const Array x = Array::of<float>({1, 2, 3, 4, 5, 6}, {3, 2});
  // Rows 1 and 2, and one element; then rows 2 and 1, which are no box in order.
  const OneNode rows{"ScatterND",
                     {x, Array::of<int64_t>({1, -1}, {2, 1}), Array::of<float>({7, 8, 9, 10}, {2, 2})},
                     {},
                     18,
                     {1}};
  EXPECT_EQ(run(rows)[0].to_vector<float>(), (std::vector<float>{1, 2, 7, 8, 9, 10}));
  EXPECT_EQ(ops_of(*read(rows)).find("scatter"), std::string::npos) << ops_of(*read(rows));
  const OneNode element{
      "ScatterND", {x, Array::of<int64_t>({1, 0}, {1, 2}), Array::of<float>({7}, {1})}, {}, 18, {1}};
  EXPECT_EQ(run(element)[0].to_vector<float>(), (std::vector<float>{1, 2, 7, 4, 5, 6}));
  const OneNode turned{"ScatterND",
                       {x, Array::of<int64_t>({2, 1}, {2, 1}), Array::of<float>({7, 8, 9, 10}, {2, 2})},
                       {},
                       18,
                       {1}};
  EXPECT_EQ(run(turned)[0].to_vector<float>(), (std::vector<float>{1, 2, 9, 10, 7, 8}));
  const OneNode column{"ScatterElements",
                       {x, Array::of<int64_t>({-1, -1, -1}, {3, 1}), Array::of<float>({7, 8, 9}, {3, 1})},
                       {int_attribute("axis", 1)},
                       18,
                       {1}};
  EXPECT_EQ(run(column)[0].to_vector<float>(), (std::vector<float>{1, 7, 3, 8, 5, 9}));
  EXPECT_EQ(ops_of(*read(column)).find("scatter"), std::string::npos) << ops_of(*read(column));
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

// Columns folded back are the adjoint of unfolding: <unfold(x), c> = <x, fold(c)> for all x and c.
TEST_F(OnnxOps, ColumnsFoldIntoImages) {
  constexpr int64_t kHeight = 5, kWidth = 6, kRows = 2, kColumns = 3;  // blocks of 2 x 3
  const Ints strides{2, 1}, dilations{1, 2}, pads{1, 0, 0, 2};
  const int64_t down = (kHeight + 1 - 2) / 2 + 1, across = kWidth + 2 - 5 + 1;
  const Array c = random_array({2, 3 * kRows * kColumns, down * across}, 4, DType::f64);
  Array want = Array::zeros(DType::f64, {2, 3, kHeight, kWidth});
  each_index({2, 3, kRows, kColumns, down, across}, [&](const Dims& at, int64_t i) {
    const int64_t y = at[4] * strides[0] + at[2] * dilations[0] - pads[0],
                  x = at[5] * strides[1] + at[3] * dilations[1] - pads[1];
    if (y < 0 || y >= kHeight || x < 0 || x >= kWidth) return;
    const int64_t place = ((at[0] * 3 + at[1]) * kHeight + y) * kWidth + x;
    want.set_flat(place, want.get_flat(place) + c.get_flat(i));
  });
  const OneNode fold{
      "Col2Im",
      {c, Array::of<int64_t>({kHeight, kWidth}, {2}), Array::of<int64_t>({kRows, kColumns}, {2})},
      {ints_attribute("strides", strides), ints_attribute("dilations", dilations),
       ints_attribute("pads", pads)},
      18,
      {1, 2}};
  expect_close(run(fold)[0], want, 1e-12);
  OneNode wrong = fold;
  wrong.in[0] = random_array({2, 3 * kRows * kColumns, 7}, 4, DType::f64);
  EXPECT_NE(error_of(wrong, ErrorKind::InvalidArgument).find("it has 7 columns"), std::string::npos);
}

// The sums of Fourier's formula, for real and complex signals, cut, padded and turned back.
TEST_F(OnnxOps, FourierTransformsAreTheirSums) {
  const Array x = random_array({2, 6, 2}, 5, DType::f64);
  const auto formula = [&](int64_t n, int64_t m, bool inverse, bool real) {
    Array want = Array::zeros(DType::f64, {2, m, 2});
    for (int64_t b = 0; b < 2; ++b)
      for (int64_t k = 0; k < m; ++k)
        for (int64_t t = 0; t < std::min<int64_t>(n, 6); ++t) {
          const double angle =
              (inverse ? 2 : -2) * std::numbers::pi * static_cast<double>(t * k) / static_cast<double>(n);
          const double re = element(x, {b, t, 0}), im = real ? 0 : element(x, {b, t, 1}),
                       scale = inverse ? 1.0 / static_cast<double>(n) : 1;
          const int64_t place = (b * m + k) * 2;
          want.set_flat(place, want.get_flat(place) + scale * (re * std::cos(angle) - im * std::sin(angle)));
          want.set_flat(place + 1,
                        want.get_flat(place + 1) + scale * (re * std::sin(angle) + im * std::cos(angle)));
        }
    return want;
  };
  expect_close(run({"DFT", {x}, {}, 17})[0], formula(6, 6, false, false), 1e-12);
  expect_close(run({"DFT", {x}, {int_attribute("inverse", 1)}, 17})[0], formula(6, 6, true, false), 1e-12);
  const Array real = x.slice(2, 0, 1).contiguous();
  expect_close(run({"DFT", {real}, {int_attribute("onesided", 1)}, 17})[0], formula(6, 4, false, true),
               1e-12);
  for (const int64_t n : {4, 9}) {
    const Array length = Array::scalar(n), axis = Array::scalar(int64_t{-2});
    expect_close(run({"DFT", {x, length, axis}, {}, 20, {1, 2}})[0], formula(n, n, false, false), 1e-12);
  }
}

}  // namespace
}  // namespace fovea
