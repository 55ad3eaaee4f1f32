// Convolutions and pooling: values against loops in double, adjoints, symbolic sizes, errors.
#include <cmath>
#include <limits>

#include "framework/runtime/thread_pool.h"
#include "generated/ops.h"
#include "tests/unit/ops_test_util.h"

namespace fovea {
namespace {

using test::expect_error;
using test::expect_values;
using test::infer;
using test::program_of;
using test::random_array;
using test::run_op_on;

struct Conv {
  Dims x, weight;
  int64_t stride[2] = {1, 1}, pad[4] = {0, 0, 0, 0}, dilation[2] = {1, 1}, groups = 1;

  int64_t out(int d) const {
    return (x[2 + d] + pad[2 * d] + pad[2 * d + 1] - dilation[d] * (weight[2 + d] - 1) - 1) / stride[d] + 1;
  }
  Dims y() const { return {x[0], weight[0], out(0), out(1)}; }
  Attrs attrs() const {
    return {{"stride", Ints(stride, stride + 2)},
            {"padding", Ints(pad, pad + 4)},
            {"dilation", Ints(dilation, dilation + 2)},
            {"groups", groups}};
  }
  Attrs input_attrs() const {
    Attrs a = attrs();
    a.set("sizes", Shape{x[2], x[3]});
    return a;
  }
  Attrs weight_attrs() const {
    Attrs a = attrs();
    a.set("kernel", Ints{weight[2], weight[3]});
    return a;
  }
  std::string str() const {
    return to_string(x) + " * " + to_string(weight) + " stride " + std::to_string(stride[0]) + " groups " +
           std::to_string(groups);
  }

  // f(place in x, place in weight, place in y) for each product that the convolution sums.
  void each_product(const std::function<void(int64_t, int64_t, int64_t)>& f) const {
    const int64_t per = x[1] / groups, outs = weight[0] / groups;
    for (int64_t n = 0; n < x[0]; ++n)
      for (int64_t o = 0; o < weight[0]; ++o)
        for (int64_t a = 0; a < out(0); ++a)
          for (int64_t b = 0; b < out(1); ++b)
            for (int64_t c = 0; c < per; ++c)
              for (int64_t i = 0; i < weight[2]; ++i)
                for (int64_t j = 0; j < weight[3]; ++j) {
                  const int64_t h = a * stride[0] + i * dilation[0] - pad[0],
                                w = b * stride[1] + j * dilation[1] - pad[2];
                  if (h < 0 || h >= x[2] || w < 0 || w >= x[3]) continue;
                  f(((n * x[1] + o / outs * per + c) * x[2] + h) * x[3] + w,
                    ((o * per + c) * weight[2] + i) * weight[3] + j,
                    ((n * weight[0] + o) * out(0) + a) * out(1) + b);
                }
  }
};

const Conv kConvs[] = {
    {{2, 3, 7, 6}, {4, 3, 3, 3}, {1, 1}, {1, 1, 1, 1}},
    {{2, 16, 9, 9}, {32, 16, 3, 3}, {2, 2}, {1, 1, 1, 1}},
    {{3, 5, 8, 7}, {6, 5, 1, 1}, {2, 2}},
    {{1, 4, 10, 9}, {6, 2, 3, 2}, {2, 1}, {0, 2, 1, 0}, {2, 3}, 2},
    {{2, 6, 6, 6}, {6, 1, 3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 6},
    {{1, 1, 1, 12}, {3, 1, 1, 5}, {1, 3}, {0, 0, 4, 2}},
    {{1, 2, 8, 8}, {2, 2, 2, 2}, {5, 3}},
    {{0, 3, 5, 5}, {4, 3, 3, 3}},
    // Single images, and windows of one element: matrix products.
    {{1, 3, 9, 8}, {5, 3, 1, 1}},
    {{2, 3, 24, 23}, {4, 3, 1, 1}},
    {{1, 3, 7, 6}, {4, 3, 1, 1}, {2, 3}, {1, 0, 0, 2}},
    {{1, 6, 13, 11}, {5, 6, 3, 3}, {2, 1}, {1, 0, 2, 3}, {1, 2}},
    {{1, 16, 1, 30}, {4, 16, 1, 3}, {1, 2}, {0, 0, 5, 1}, {1, 2}},
    {{1, 2, 2, 3}, {3, 2, 3, 5}, {1, 1}, {2, 2, 9, 9}},
};

double tolerance(DType t) {
  return t == DType::f64 ? 1e-12 : t == DType::f32 ? 5e-6 : t == DType::f16 ? 2e-3 : 2e-2;
}

TEST(Conv2d, ValuesAndBothAdjoints) {
  int seed = 1;
  for (const Conv& c : kConvs)
    for (DType dtype : {DType::f32, DType::f64, DType::f16, DType::bf16}) {
      const Array x = random_array(c.x, ++seed, dtype), w = random_array(c.weight, ++seed, dtype),
                  g = random_array(c.y(), ++seed, dtype), bias = random_array({c.weight[0]}, ++seed, dtype);
      const auto vx = x.to_vector<double>(), vw = w.to_vector<double>(), vg = g.to_vector<double>(),
                 vb = bias.to_vector<double>();
      std::vector<double> y(vg.size()), dx(vx.size()), dw(vw.size());
      c.each_product([&](int64_t px, int64_t pw, int64_t py) {
        y[py] += vx[px] * vw[pw];
        dx[px] += vg[py] * vw[pw];
        dw[pw] += vg[py] * vx[px];
      });
      std::vector<double> with_bias = y;
      const int64_t plane = c.out(0) * c.out(1);
      for (size_t i = 0; i < y.size(); ++i) with_bias[i] += vb[static_cast<int64_t>(i) / plane % c.weight[0]];
      for (const char* backend : {"cpu", "reference"}) {
        const std::string what = c.str() + " " + std::string(to_string(dtype)) + " " + backend;
        const double t = tolerance(dtype);
        expect_values(run_op_on(backend, "conv2d", {x, w}, c.attrs())[0], c.y(), y, t, what);
        expect_values(run_op_on(backend, "conv2d", {x, w, bias}, c.attrs())[0], c.y(), with_bias, t,
                      what + " bias");
        expect_values(run_op_on(backend, "conv2d_backward_input", {g, w}, c.input_attrs())[0], c.x, dx, t,
                      what + " dx");
        expect_values(run_op_on(backend, "conv2d_backward_weight", {x, g}, c.weight_attrs())[0], c.weight, dw,
                      t, what + " dw");
      }
    }
}

TEST(Conv2d, KnownValues) {
  std::vector<float> count(16);
  for (int i = 0; i < 16; ++i) count[i] = static_cast<float>(i);
  const Array x = Array::of(count, {1, 1, 4, 4});
  // A kernel with a single one shifts; one that differs neighbours sees the slope.
  expect_values(conv2d(x, Array::of<float>({0, 0, 0, 1}, {1, 1, 2, 2})).array(), {1, 1, 3, 3},
                {5, 6, 7, 9, 10, 11, 13, 14, 15}, 0, "shift");
  expect_values(
      conv2d(x, Array::of<float>({-1, 1}, {1, 1, 1, 2}), Array::of<float>({0.5f}, {1}), {.stride = {2, 1}})
          .array(),
      {1, 1, 2, 3}, {1.5, 1.5, 1.5, 1.5, 1.5, 1.5}, 0, "slope");
  expect_values(conv1d(Array::of<float>({1, 2, 3, 4}, {1, 1, 4}), Array::of<float>({1, 10, 100}, {1, 1, 3}),
                       {}, {.padding = {2, 0}})
                    .array(),
                {1, 1, 4}, {100, 210, 321, 432}, 0, "causal");
  expect_values(
      conv_transpose2d(Array::of<float>({1, 2}, {1, 1, 1, 2}), Array::of<float>({1, 10, 100}, {1, 1, 1, 3}),
                       Array::of<float>({0.5f}, {1}), {.stride = {1, 2}})
          .array(),
      {1, 1, 1, 5}, {1.5, 10.5, 102.5, 20.5, 200.5}, 0, "transposed");
}

// y = the part [low, low + size) of the sum of stamps of weight at stride * place, and zeros behind.
TEST(ConvTranspose2d, Values) {
  struct Case {
    int64_t h, k, stride, low, high, dilation, extra;
  };
  for (const Case& t : {Case{4, 3, 2, 1, 1, 1, 1}, Case{3, 2, 3, 0, 0, 1, 2}, Case{4, 3, 1, 0, 1, 3, 2},
                        Case{5, 3, 2, 2, 0, 2, 0}, Case{3, 3, 1, 1, 2, 1, 0}}) {
    const int64_t out = (t.h - 1) * t.stride - t.low - t.high + t.dilation * (t.k - 1) + 1 + t.extra;
    const Array x = random_array({2, 4, t.h, 3}, 31, DType::f64),
                w = random_array({4, 3, t.k, 1}, 32, DType::f64), bias = random_array({6}, 33, DType::f64);
    std::vector<double> want(2 * 6 * out * 3);
    for (int64_t n = 0; n < 2; ++n)
      for (int64_t c = 0; c < 6; ++c)
        for (int64_t a = 0; a < out; ++a)
          for (int64_t b = 0; b < 3; ++b) {
            double s = bias.at({c});
            for (int64_t o = c / 3 * 2; o < c / 3 * 2 + 2; ++o)
              for (int64_t i = 0; i < t.h; ++i)
                for (int64_t k = 0; k < t.k; ++k)
                  if (i * t.stride + k * t.dilation - t.low == a)
                    s += x.at({n, o, i, b}) * w.at({o, c % 3, k, 0});
            want[((n * 6 + c) * out + a) * 3 + b] = s;
          }
    const Attrs attrs{{"stride", Ints{t.stride, 1}},
                      {"padding", Ints{t.low, t.high, 0, 0}},
                      {"dilation", Ints{t.dilation, 1}},
                      {"groups", 2},
                      {"output_padding", Ints{t.extra, 0}}};
    for (const char* backend : {"cpu", "reference"}) {
      expect_values(run_op_on(backend, "conv_transpose2d", {x, w, bias}, attrs)[0], {2, 6, out, 3}, want,
                    1e-12, backend);
      expect_values(run_op_on(backend, "conv_transpose2d",
                              {x.cast(DType::f32), w.cast(DType::f32), bias.cast(DType::f32)}, attrs)[0],
                    {2, 6, out, 3}, want, 2e-6, backend);
    }
  }
}

struct Pool {
  int64_t h, k, stride, low, high, dilation;
  bool ceil;
  int64_t out;  // worked out by hand
};
const Pool kPools[] = {
    {8, 2, 2, 0, 0, 1, false, 4}, {7, 3, 2, 1, 1, 1, false, 4}, {5, 2, 2, 0, 0, 1, true, 3},
    {4, 1, 2, 0, 0, 1, true, 2},  {6, 2, 3, 1, 1, 2, true, 3},  {9, 3, 1, 0, 2, 2, false, 7},
    {5, 2, 4, 0, 1, 1, true, 2},
};

TEST(MaxPool2d, ValuesAndGradient) {
  for (const Pool& p : kPools)
    for (DType dtype : {DType::f32, DType::f64, DType::bf16}) {
      // Few different values, so that windows have ties: the first in row-major order takes the gradient.
      const Array x = random_array({2, 2, p.h, 6}, 41, DType::i32, 0, 5).cast(dtype),
                  g = random_array({2, 2, p.out, 3}, 42, dtype);
      std::vector<double> y(2 * 2 * p.out * 3), dx(2 * 2 * p.h * 6);
      for (int64_t plane = 0; plane < 4; ++plane)
        for (int64_t a = 0; a < p.out; ++a)
          for (int64_t b = 0; b < 3; ++b) {
            double best = -std::numeric_limits<double>::infinity();
            int64_t at = -1;
            for (int64_t i = 0; i < p.k; ++i)
              for (int64_t j = 0; j < 2; ++j) {
                const int64_t h = a * p.stride + i * p.dilation - p.low;
                if (h < 0 || h >= p.h) continue;
                const int64_t place = (plane * p.h + h) * 6 + b * 2 + j;
                if (x.get_flat(place) > best) best = x.get_flat(place), at = place;
              }
            const int64_t o = (plane * p.out + a) * 3 + b;
            y[o] = best;
            ASSERT_GE(at, 0);
            dx[at] += g.get_flat(o);
          }
      const Attrs attrs{{"kernel", Ints{p.k, 2}},
                        {"stride", Ints{p.stride, 2}},
                        {"padding", Ints{p.low, p.high, 0, 0}},
                        {"dilation", Ints{p.dilation, 1}},
                        {"ceil_mode", p.ceil}};
      for (const char* backend : {"cpu", "reference"}) {
        expect_values(run_op_on(backend, "max_pool2d", {x}, attrs)[0], {2, 2, p.out, 3}, y, 0, backend);
        expect_values(run_op_on(backend, "max_pool2d_backward", {x, g}, attrs)[0], x.shape(), dx,
                      tolerance(dtype), backend);
      }
    }
}

TEST(MaxPool2d, NotANumberAndInfinity) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), low = -std::numeric_limits<float>::infinity();
  const Array x = Array::of<float>({1, nan, low, low, 3, nan, low, low}, {1, 1, 2, 4}),
              g = Array::of<float>({2, 5}, {1, 1, 1, 2});
  const Attrs attrs{{"kernel", Ints{2}}, {"stride", Ints{2}}};
  for (const char* backend : {"cpu", "reference"}) {
    expect_values(run_op_on(backend, "max_pool2d", {x}, attrs)[0], {1, 1, 1, 2}, {nan, low}, 0, backend);
    expect_values(run_op_on(backend, "max_pool2d_backward", {x, g}, attrs)[0], {1, 1, 2, 4},
                  {0, 2, 5, 0, 0, 0, 0, 0}, 0, backend);
    // -inf in the corner of a padded window is still an element of x.
    expect_values(
        run_op_on(backend, "max_pool2d_backward",
                  {Array::full(DType::f32, {1, 1, 1, 1}, low), Array::full(DType::f32, {1, 1, 1, 1}, 7)},
                  {{"kernel", Ints{2}}, {"stride", Ints{2}}, {"padding", Ints{1, 0, 1, 0}}})[0],
        {1, 1, 1, 1}, {7}, 0, backend);
  }
}

TEST(AvgPool2d, ValuesAndAdjoint) {
  for (const Pool& p : kPools)
    for (bool include : {true, false})
      for (DType dtype : {DType::f32, DType::f64, DType::bf16}) {
        if (p.ceil) continue;
        const Array x = random_array({2, 2, p.h, 6}, 51, dtype),
                    g = random_array({2, 2, p.out, 3}, 52, dtype);
        std::vector<double> y(2 * 2 * p.out * 3), dx(2 * 2 * p.h * 6);
        for (int64_t plane = 0; plane < 4; ++plane)
          for (int64_t a = 0; a < p.out; ++a)
            for (int64_t b = 0; b < 3; ++b) {
              std::vector<int64_t> places;
              for (int64_t i = 0; i < p.k; ++i)
                for (int64_t j = 0; j < 2; ++j) {
                  const int64_t h = a * p.stride + i * p.dilation - p.low;
                  if (h >= 0 && h < p.h) places.push_back((plane * p.h + h) * 6 + b * 2 + j);
                }
              const int64_t o = (plane * p.out + a) * 3 + b;
              const double n = include ? static_cast<double>(p.k * 2) : static_cast<double>(places.size());
              for (int64_t at : places) {
                y[o] += x.get_flat(at) / n;
                dx[at] += g.get_flat(o) / n;
              }
            }
        Attrs attrs{{"kernel", Ints{p.k, 2}},
                    {"stride", Ints{p.stride, 2}},
                    {"padding", Ints{p.low, p.high, 0, 0}},
                    {"dilation", Ints{p.dilation, 1}},
                    {"count_include_pad", include}};
        Attrs back = attrs;
        back.set("sizes", Shape{p.h, 6});
        for (const char* backend : {"cpu", "reference"}) {
          expect_values(run_op_on(backend, "avg_pool2d", {x}, attrs)[0], {2, 2, p.out, 3}, y,
                        tolerance(dtype), backend);
          expect_values(run_op_on(backend, "avg_pool2d_backward", {g}, back)[0], x.shape(), dx,
                        tolerance(dtype), backend);
        }
      }
}

// Rows long enough for vectors, with every kind of edge, against the reference backend in double.
TEST(AvgPool2d, LongRowsAndTheirEdges) {
  const Array x = random_array({1, 2, 9, 29}, 61), wide = x.cast(DType::f64);
  for (const int64_t stride : {1, 2, 3})
    for (const Ints& padding : {Ints{0, 0, 0, 0}, Ints{1, 0, 2, 1}, Ints{2, 3, 0, 3}})
      for (const int64_t dilation : {1, 2})
        for (const bool include : {true, false}) {
          Attrs attrs{{"kernel", Ints{4, 5}},
                      {"stride", Ints{2, stride}},
                      {"padding", padding},
                      {"dilation", Ints{1, dilation}}};
          const auto check = [&](const char* op) {
            const Array want = run_op_on("reference", op, {wide}, attrs)[0];
            expect_values(run_op_on("cpu", op, {x}, attrs)[0], want.shape(), want.to_vector<double>(), 1e-6,
                          op);
          };
          check("max_pool2d");
          attrs.set("count_include_pad", include);
          check("avg_pool2d");
        }
}

TEST(AvgPool2d, PartsOfThePlane) {
  const Array x = Array::of<float>({1, 2, 3, 4, 5, 6, 7, 8}, {1, 1, 2, 4});
  expect_values(adaptive_avg_pool2d(x, 1, 2).array(), {1, 1, 1, 2}, {3.5, 5.5}, 1e-7, "parts");
  expect_values(adaptive_avg_pool2d(x, 2, 4).array(), {1, 1, 2, 4}, {1, 2, 3, 4, 5, 6, 7, 8}, 0, "all");
  expect_values(global_avg_pool(x).array(), {1, 1}, {4.5}, 1e-7, "global");
  expect_error([&] { adaptive_avg_pool2d(x, 1, 3); },
               "a plane of 2 x 4 does not divide into 1 x 3 equal parts");
  expect_error([&] { adaptive_avg_pool2d(x, 0, 1); },
               "a plane of 2 x 4 does not divide into 0 x 1 equal parts");
  expect_error([&] { global_avg_pool(Array::scalar(1.0f)); }, "x has rank 0, at least 3 is needed");
}

TEST(Conv2d, SymbolicSizes) {
  const Dim b = Dim::symbol("B"), h = Dim::symbol("H"), w = Dim::symbol("W");
  const TensorType x{DType::f32, {b, 3, h, w}}, kernel{DType::f32, {8, 3, 3, 3}};
  EXPECT_EQ(infer("conv2d", {x, kernel}, {{"padding", Ints{1}}})[0], "f32[B, 8, H, W]");
  EXPECT_EQ(infer("conv2d", {x, kernel})[0],
            to_string(TensorType{DType::f32, {b, 8, h - Dim(2), w - Dim(2)}}));
  EXPECT_EQ(infer("conv2d", {TensorType{DType::f32, {b, 3, h * Dim(2), w * Dim(4)}}, kernel},
                  {{"padding", Ints{1}}, {"stride", Ints{2, 4}}})[0],
            "f32[B, 8, H, W]");
  EXPECT_EQ(infer("max_pool2d", {TensorType{DType::f32, {b, 3, h * Dim(2), w * Dim(2)}}},
                  {{"kernel", Ints{2}}, {"stride", Ints{2}}, {"ceil_mode", true}})[0],
            "f32[B, 3, H, W]");
  EXPECT_EQ(infer("conv_transpose2d", {x, TensorType{DType::f32, {3, 8, 3, 3}}},
                  {{"padding", Ints{1}}, {"stride", Ints{2}}, {"output_padding", Ints{1}}})[0],
            to_string(TensorType{DType::f32, {b, 8, h * Dim(2), w * Dim(2)}}));
  expect_error(
      [&] {
        infer("max_pool2d", {x}, {{"kernel", Ints{1}}, {"stride", Ints{2}}, {"ceil_mode", true}});
      },
      "needs a known size");
  // One program for several sizes.
  for (const char* backend : {"cpu", "reference"}) {
    auto program =
        program_of("conv2d", {x, kernel}, {{"stride", Ints{2}}, {"padding", Ints{1, 0, 0, 1}}}, backend);
    for (const Dims& shape : {Dims{2, 3, 6, 5}, Dims{1, 3, 3, 9}}) {
      const Array a = random_array(shape, 61), k = random_array({8, 3, 3, 3}, 62);
      const Conv c{shape, k.shape(), {2, 2}, {1, 0, 0, 1}};
      std::vector<double> y(product(c.y()));
      c.each_product([&](int64_t px, int64_t pw, int64_t py) { y[py] += a.get_flat(px) * k.get_flat(pw); });
      expect_values(program.run({a, k})[0], c.y(), y, 5e-6, backend);
    }
    EXPECT_THROW(
        program.run({Array::zeros(DType::f32, {1, 3, 1, 9}), Array::zeros(DType::f32, {8, 3, 3, 3})}), Error)
        << backend;
  }
}

// d value(x) / dx[k] by differences of one element at a time against gradients[k].
void expect_slopes(const std::function<double(const std::vector<Array>&)>& value, std::vector<Array> x,
                   const std::vector<Array>& gradients, const std::string& what) {
  constexpr double kStep = 1e-5;
  ASSERT_EQ(gradients.size(), x.size()) << what;
  for (size_t k = 0; k < x.size(); ++k) {
    const Array at = x[k];
    for (int64_t i = 0; i < at.size(); ++i) {
      double side[2];
      for (int s : {0, 1}) {
        x[k] = at.copy();
        x[k].set_flat(i, at.get_flat(i) + (s ? kStep : -kStep));
        side[s] = value(x);
      }
      const double slope = (side[1] - side[0]) / (2 * kStep);
      ASSERT_NEAR(gradients[k].get_flat(i), slope, 1e-6 * (1 + std::abs(slope)))
          << what << ", operand " << k << " [" << i << "]";
    }
    x[k] = at;
  }
}

// Gradients through a whole program whose sizes are symbols: conv, pooling, transposed convolution back to
// the input's size.
TEST(Conv2d, GradientsWithSymbolicSizes) {
  const Dim b = Dim::symbol("B"), h = Dim::symbol("H"), w = Dim::symbol("W");
  auto module = std::make_shared<Module>();
  const std::vector<TensorType> types{{DType::f64, {b, 2, h, w}}, {DType::f64, {3, 2, 3, 3}}};
  const auto inputs = [&](Builder& builder) {
    Tensors in;
    for (const TensorType& t : types) in.push_back(builder.input("", t));
    return in;
  };
  auto f = Builder::make(module, "f");
  {
    const Tensors in = inputs(*f);
    const TraceScope trace(f);
    const Tensor y = conv2d(in[0], in[1], {}, {.stride = {2}, .padding = {1}});
    const Tensor z = max_pool2d(y, {2}, {.stride = {1}, .padding = {1}});
    const Tensor back = conv_transpose2d(avg_pool2d(z, {2}, {.stride = {1}, .count_include_pad = false}),
                                         in[1], {}, {.stride = {2}});
    f->output("", sum(back * back));
    f->finish();
  }
  auto g = Builder::make(module, "g");
  {
    Tensors in = inputs(*g);
    in.push_back(g->input("", {DType::f64, {}}));
    const auto out = g->add(find_op("vjp"), in,
                            {{"function", FunctionRef{"f"}}, {"wrt", Ints{0, 1}}, {"seeds", Ints{0}}}, {});
    for (size_t i = 1; i < out.size(); ++i) g->output("", out[i]);
    g->finish();
  }
  for (const char* backend : {"cpu", "reference"}) {
    CompileOptions options;
    options.backend = backend;
    Program value(module, "f", options), gradient(module, "g", options);
    for (const Dims& shape : {Dims{1, 2, 5, 4}, Dims{2, 2, 6, 3}}) {
      const std::vector<Array> x{random_array(shape, 71, DType::f64),
                                 random_array({3, 2, 3, 3}, 72, DType::f64)};
      expect_slopes([&](const std::vector<Array>& at) { return value.run(at)[0].item(); }, x,
                    gradient.run({x[0], x[1], Array::scalar(1.0)}), backend);
    }
  }
}

void expect_equal_bits(const Conv& c) {
  const Array x = random_array(c.x, 81), w = random_array(c.weight, 82), g = random_array(c.y(), 83);
  const int before = num_threads();
  std::vector<std::vector<float>> results;
  for (int threads : {1, 2, 5}) {
    set_num_threads(threads);
    std::vector<float> all;
    for (const Array& a : {run_op_on("cpu", "conv2d", {x, w}, c.attrs())[0],
                           run_op_on("cpu", "conv2d_backward_input", {g, w}, c.input_attrs())[0],
                           run_op_on("cpu", "conv2d_backward_weight", {x, g}, c.weight_attrs())[0]}) {
      const auto v = a.to_vector<float>();
      all.insert(all.end(), v.begin(), v.end());
    }
    results.push_back(all);
  }
  set_num_threads(before);
  EXPECT_EQ(results[0], results[1]) << c.str();
  EXPECT_EQ(results[0], results[2]) << c.str();
}

TEST(Conv2d, EqualBitsForAnyNumberOfThreads) {
  expect_equal_bits({{13, 16, 14, 14}, {32, 16, 3, 3}, {2, 2}, {1, 1, 1, 1}});
  expect_equal_bits({{1, 96, 15, 14}, {160, 96, 3, 3}, {1, 1}, {1, 1, 1, 1}});
  expect_equal_bits({{1, 64, 40, 40}, {48, 64, 1, 1}});
}

TEST(Conv2d, FunctionErrors) {
  const Array x = Array::zeros(DType::f32, {1, 2, 5}), w = Array::zeros(DType::f32, {3, 2, 3});
  expect_error(
      [&] {
        conv1d(x, w, {}, {.stride = {1, 2}});
      },
      "stride, dilation and padding have 2, 1 and 1 numbers; 1, 1 and 1 or 2 are needed");
  expect_error(
      [&] {
        conv1d(x, Array::zeros(DType::f32, {3, 2}));
      },
      "x and weight have ranks 3 and 2, 3 is needed");
  expect_error([&] { conv1d(x, Array::zeros(DType::f32, {3, 4, 3})); }, "x has 2 channels");
}

}  // namespace
}  // namespace fovea
