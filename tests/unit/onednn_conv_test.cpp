#include "framework/backend/cpu/onednn/conv.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "framework/base/error.h"
#include "framework/runtime/thread_pool.h"

namespace fovea::onednn {
namespace {

struct Case {
  ConvDesc d;
  std::vector<float> input, weights, output, bias, residual;

  int64_t in_size() const { return d.in[0] * d.in[1] * d.in[2]; }
  int64_t out_size() const {
    int64_t n = 1;
    for (int i = 0; i < d.spatial; ++i) n *= d.out(i);
    return n;
  }
  int64_t filter() const { return d.in_channels / d.groups * d.kernel[0] * d.kernel[1] * d.kernel[2]; }

  void fill(unsigned seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> uniform(-1, 1);
    const auto make = [&](int64_t n) {
      std::vector<float> v(static_cast<size_t>(n));
      for (float& x : v) {
        x = uniform(random);
        if (d.dtype == DType::bf16) x = static_cast<float>(bf16_t(x));
        if (d.dtype == DType::f16) x = static_cast<float>(f16_t(x));
      }
      return v;
    };
    input = make(d.batch * d.in_channels * in_size());
    output = make(d.batch * d.out_channels * out_size());
    weights = make(d.out_channels * filter());
    bias = make(d.pass == ConvPass::BackwardData ? d.in_channels : d.out_channels);
    residual = make(d.pass == ConvPass::Forward ? static_cast<int64_t>(output.size())
                                                : static_cast<int64_t>(input.size()));
  }

  // Calls f(input index, weight index, output index) for each product that a convolution sums.
  template <class F>
  void for_each_product(F f) const {
    const int64_t group_in = d.in_channels / d.groups, group_out = d.out_channels / d.groups;
    int64_t o[3] = {1, 1, 1};
    for (int i = 0; i < d.spatial; ++i) o[i] = d.out(i);
    const auto source = [&](int i, int64_t out, int64_t tap) {
      const int64_t at = out * d.stride[i] - d.pad_before[i] + tap * d.dilation[i];
      return at >= 0 && at < d.in[i] ? at : -1;
    };
    for (int64_t n = 0; n < d.batch; ++n)
      for (int64_t oc = 0; oc < d.out_channels; ++oc)
        for (int64_t ic = 0; ic < group_in; ++ic)
          for (int64_t x = 0; x < o[0]; ++x)
            for (int64_t y = 0; y < o[1]; ++y)
              for (int64_t z = 0; z < o[2]; ++z)
                for (int64_t p = 0; p < d.kernel[0]; ++p)
                  for (int64_t q = 0; q < d.kernel[1]; ++q)
                    for (int64_t r = 0; r < d.kernel[2]; ++r) {
                      const int64_t i = source(0, x, p), j = source(1, y, q), k = source(2, z, r);
                      if (i < 0 || j < 0 || k < 0) continue;
                      const int64_t c = oc / group_out * group_in + ic;
                      f(static_cast<size_t>(
                            (((n * d.in_channels + c) * d.in[0] + i) * d.in[1] + j) * d.in[2] + k),
                        static_cast<size_t>(
                            (((oc * group_in + ic) * d.kernel[0] + p) * d.kernel[1] + q) * d.kernel[2] + r),
                        static_cast<size_t>((((n * d.out_channels + oc) * o[0] + x) * o[1] + y) * o[2] + z));
                    }
  }

  struct Result {
    std::vector<char> written, bias;
    bool operator==(const Result& o) const { return written == o.written && bias == o.bias; }
  };

  std::vector<char> store(const std::vector<float>& v) const {
    std::vector<char> bytes(v.size() * static_cast<size_t>(size_of(d.dtype)));
    for (size_t i = 0; i < v.size(); ++i) {
      const bf16_t b(v[i]);
      const f16_t h(v[i]);
      if (d.dtype == DType::f32) std::memcpy(bytes.data() + 4 * i, &v[i], 4);
      if (d.dtype == DType::bf16) std::memcpy(bytes.data() + 2 * i, &b, 2);
      if (d.dtype == DType::f16) std::memcpy(bytes.data() + 2 * i, &h, 2);
    }
    return bytes;
  }
  double read(const std::vector<char>& bytes, size_t i) const {
    float f = 0;
    bf16_t b;
    f16_t h;
    if (d.dtype == DType::f32) std::memcpy(&f, bytes.data() + 4 * i, 4);
    if (d.dtype == DType::bf16) std::memcpy(&b, bytes.data() + 2 * i, 2), f = static_cast<float>(b);
    if (d.dtype == DType::f16) std::memcpy(&h, bytes.data() + 2 * i, 2), f = static_cast<float>(h);
    return static_cast<double>(f);
  }

  Result run(ThreadPool& pool) const {
    std::vector<char> in = store(input), w = store(weights), out = store(output), b = store(bias),
                      res = store(residual);
    const ConvPlan plan(d);
    std::vector<char> memory(static_cast<size_t>(plan.workspace_bytes()) + 64, char(0x7f));
    ConvArgs args;
    args.input = in.data();
    args.weights = w.data();
    args.output = out.data();
    args.bias = b.data();
    args.residual = res.data();
    args.workspace = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
    // What the pass writes is poisoned first.
    std::vector<char>& target = d.pass == ConvPass::Forward ? out : d.pass == ConvPass::BackwardData ? in : w;
    std::fill(target.begin(), target.end(), char(0x7f));
    if (d.pass == ConvPass::BackwardWeights && d.bias) std::fill(b.begin(), b.end(), char(0x7f));
    plan.run(args, pool);
    EXPECT_EQ(d.pass == ConvPass::Forward || out == store(output), true) << "output was changed";
    EXPECT_EQ(d.pass == ConvPass::BackwardData || in == store(input), true) << "input was changed";
    return {target, b};
  }

  void compare(const char* what, const std::vector<char>& got, const std::vector<double>& expected,
               const std::vector<double>& size) const {
    const double unit = d.dtype == DType::f32 ? 1e-6 : d.dtype == DType::f16 ? 6e-4 : 5e-3;
    int bad = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      const double x = read(got, i);
      if (!(std::abs(x - expected[i]) <= unit * (1 + std::abs(expected[i])) + 2e-6 * size[i]) && ++bad < 4)
        ADD_FAILURE() << what << " " << i << " is " << x << ", expected " << expected[i];
    }
    EXPECT_EQ(bad, 0);
  }

  void check(const std::string& name) const {
    SCOPED_TRACE(name);
    ThreadPool two(2);
    const Result got = run(two);
    const size_t n = d.pass == ConvPass::Forward        ? output.size()
                     : d.pass == ConvPass::BackwardData ? input.size()
                                                        : weights.size();
    std::vector<double> sum(n, 0.0), size(n, 0.0);
    for_each_product([&](size_t i, size_t w, size_t o) {
      const size_t to = d.pass == ConvPass::Forward ? o : d.pass == ConvPass::BackwardData ? i : w;
      double product = 1;
      if (d.pass != ConvPass::BackwardData) product *= static_cast<double>(input[i]);
      if (d.pass != ConvPass::BackwardWeights) product *= static_cast<double>(weights[w]);
      if (d.pass != ConvPass::Forward) product *= static_cast<double>(output[o]);
      sum[to] += product;
      size[to] += std::abs(product);
    });
    if (d.pass != ConvPass::BackwardWeights) {
      const size_t plane = static_cast<size_t>(d.pass == ConvPass::Forward ? out_size() : in_size());
      for (size_t i = 0; i < n; ++i) {
        if (d.bias) sum[i] += static_cast<double>(bias[i / plane % bias.size()]);
        if (d.residual) sum[i] += static_cast<double>(residual[i]);
        if (d.activation == Activation::Relu) sum[i] = std::max(sum[i], 0.0);
      }
    } else if (d.bias) {
      std::vector<double> of_bias(bias.size(), 0.0), bias_size(bias.size(), 0.0);
      for (size_t i = 0; i < output.size(); ++i) {
        const size_t channel = i / static_cast<size_t>(out_size()) % bias.size();
        of_bias[channel] += static_cast<double>(output[i]);
        bias_size[channel] += std::abs(static_cast<double>(output[i]));
      }
      compare("bias gradient", got.bias, of_bias, bias_size);
    }
    compare("element", got.written, sum, size);
    for (int threads : {1, 4}) {
      ThreadPool pool(threads);
      EXPECT_TRUE(run(pool) == got) << "other bits with " << threads << " threads";
    }
  }
};

constexpr ConvPass kPasses[] = {ConvPass::Forward, ConvPass::BackwardData, ConvPass::BackwardWeights};

Case make2d(int64_t batch, int64_t in_channels, int64_t out_channels, int64_t height, int64_t width,
            int64_t kernel, int64_t stride, int64_t pad) {
  Case x;
  x.d.batch = batch;
  x.d.in_channels = in_channels;
  x.d.out_channels = out_channels;
  x.d.in[0] = height;
  x.d.in[1] = width;
  for (int i = 0; i < 2; ++i) {
    x.d.kernel[i] = kernel;
    x.d.stride[i] = stride;
    x.d.pad_before[i] = x.d.pad_after[i] = pad;
  }
  return x;
}

void check_all_passes(Case x, const std::string& name) {
  unsigned seed = 1;
  for (ConvPass pass : kPasses)
    for (bool extras : {false, true}) {
      x.d.pass = pass;
      x.d.bias = extras;
      x.d.residual = extras && pass != ConvPass::BackwardWeights;
      x.d.activation = x.d.residual ? Activation::Relu : Activation::None;
      x.fill(seed++);
      x.check(name + " pass " + std::to_string(static_cast<int>(pass)) + (extras ? " with bias" : ""));
    }
}

TEST(OnednnConv, ResidualNetworkShapes) {
  check_all_passes(make2d(5, 1, 16, 12, 12, 3, 1, 1), "1->16");
  check_all_passes(make2d(9, 16, 16, 10, 10, 3, 1, 1), "16->16");
  check_all_passes(make2d(5, 16, 32, 12, 12, 3, 2, 1), "16->32 stride 2");
  check_all_passes(make2d(5, 16, 32, 12, 12, 1, 2, 0), "1x1 stride 2");
  check_all_passes(make2d(3, 1, 24, 28, 28, 4, 4, 0), "patches");
}

TEST(OnednnConv, OddShapes) {
  check_all_passes(make2d(1, 1, 1, 1, 1, 1, 1, 0), "one element");
  check_all_passes(make2d(2, 3, 5, 7, 6, 3, 1, 1), "few channels");
  check_all_passes(make2d(3, 17, 19, 5, 9, 2, 1, 0), "odd channels");
  check_all_passes(make2d(2, 4, 6, 9, 9, 5, 3, 2), "stride 3");
  check_all_passes(make2d(1, 2, 3, 3, 3, 3, 1, 3), "more padding than kernel reach");
  check_all_passes(make2d(2, 3, 3, 8, 8, 3, 5, 0), "stride larger than kernel");
}

TEST(OnednnConv, AsymmetricPaddingDilationAndRectangles) {
  Case x = make2d(2, 5, 7, 9, 11, 3, 1, 0);
  x.d.kernel[1] = 2;
  x.d.dilation[0] = 2;
  x.d.dilation[1] = 3;
  x.d.stride[1] = 2;
  x.d.pad_before[0] = 1;
  x.d.pad_after[0] = 3;
  x.d.pad_after[1] = 1;
  check_all_passes(x, "asymmetric");
}

TEST(OnednnConv, Groups) {
  Case two = make2d(3, 8, 12, 7, 7, 3, 1, 1);
  two.d.groups = 2;
  check_all_passes(two, "two groups");
  Case depthwise = make2d(3, 20, 20, 9, 9, 3, 2, 1);
  depthwise.d.groups = 20;
  check_all_passes(depthwise, "depthwise");
  Case wide = make2d(2, 32, 64, 6, 6, 3, 1, 1);
  wide.d.groups = 2;
  check_all_passes(wide, "groups of vectors");
}

TEST(OnednnConv, OneAndThreeSpatialDims) {
  Case line = make2d(3, 4, 6, 30, 1, 5, 2, 2);
  line.d.spatial = 1;
  line.d.kernel[1] = line.d.stride[1] = 1;
  line.d.pad_before[1] = line.d.pad_after[1] = 0;
  check_all_passes(line, "1-d");
  Case volume = make2d(2, 3, 4, 5, 6, 3, 1, 1);
  volume.d.spatial = 3;
  volume.d.in[2] = 4;
  volume.d.kernel[2] = 2;
  volume.d.stride[2] = 2;
  check_all_passes(volume, "3-d");
}

TEST(OnednnConv, HalfPrecision) {
  for (DType t : {DType::bf16, DType::f16}) {
    Case x = make2d(3, 6, 8, 7, 7, 3, 1, 1);
    x.d.dtype = t;
    check_all_passes(x, std::string(to_string(t)));
  }
}

TEST(OnednnConv, SplitsChannelsWhereImagesAreFew) {
  for (ConvPass pass : kPasses) {
    Case x = make2d(1, 64, 64, 32, 32, 3, 1, 1);
    x.d.pass = pass;
    x.d.bias = true;
    x.fill(3);
    EXPECT_GT(ConvPlan(x.d).blocks(), 1);
    x.check("one image, pass " + std::to_string(static_cast<int>(pass)));
  }
}

TEST(OnednnConv, LastBlockOfImagesIsSmaller) {
  for (ConvPass pass : kPasses) {
    Case x = make2d(11, 16, 16, 28, 28, 3, 1, 1);
    x.d.pass = pass;
    x.d.bias = true;
    x.fill(4);
    const int64_t blocks = ConvPlan(x.d).blocks();
    EXPECT_GT(blocks, 1);
    x.check(std::to_string(blocks) + " blocks, pass " + std::to_string(static_cast<int>(pass)));
  }
}

TEST(OnednnConv, NoImages) {
  for (ConvPass pass : kPasses) {
    Case x = make2d(0, 3, 4, 5, 5, 3, 1, 1);
    x.d.pass = pass;
    x.d.bias = true;
    x.fill(5);
    x.check("no images");
  }
}

TEST(OnednnConv, RefusesWithASentence) {
  const auto sentence = [](auto change) -> std::string {
    Case x = make2d(2, 4, 6, 5, 5, 3, 1, 0);
    change(x.d);
    try {
      ConvPlan plan(x.d);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(sentence([](ConvDesc&) {}), "");
  EXPECT_EQ(sentence([](ConvDesc& d) { d.kernel[1] = 6; }),
            "InvalidArgument: convolution: the kernel spans 6 elements in spatial dim 1, more than the "
            "padded input's 5");
  EXPECT_EQ(sentence([](ConvDesc& d) { d.groups = 4; }),
            "InvalidArgument: convolution: 4 groups do not divide 4 input and 6 output channels");
  EXPECT_EQ(sentence([](ConvDesc& d) { d.stride[0] = 0; }),
            "InvalidArgument: convolution: a stride is 0; it must be at least 1");
  EXPECT_EQ(sentence([](ConvDesc& d) { d.pad_after[0] = -1; }),
            "InvalidArgument: convolution: padding 0, -1 in spatial dim 0; padding cannot be negative");
  EXPECT_EQ(sentence([](ConvDesc& d) { d.dtype = DType::f64; }),
            "Unsupported: convolution: dtype f64; f32, f16 and bf16 are supported");
  EXPECT_NE(sentence([](ConvDesc& d) { d.batch = int64_t{1} << 60; }), "");
  EXPECT_NE(sentence([](ConvDesc& d) { d.dilation[0] = int64_t{1} << 62; }), "");
  EXPECT_NE(sentence([](ConvDesc& d) { d.spatial = 4; }), "");
}

}  // namespace
}  // namespace fovea::onednn
