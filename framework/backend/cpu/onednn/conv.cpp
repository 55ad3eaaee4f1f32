#include "framework/backend/cpu/onednn/conv.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>
#include <string>

#include "framework/backend/cpu/onednn/conv_primitive.h"
#include "framework/backend/cpu/onednn/convert.h"
#include "framework/base/checked.h"
#include "framework/base/error.h"
#include "framework/runtime/thread_pool.h"

namespace fovea::onednn {
namespace {

constexpr double kBlockMicroseconds = 80;
constexpr int64_t kMaxBlocks = 64;
constexpr int64_t kMaxParts = 16;            // of a weight gradient's sum
constexpr int64_t kBlockBytes = 400 * 1024;  // input and output of a block stay in the second-level cache
constexpr int64_t kConvertGrain = 65536;

std::string str(int64_t v) { return std::to_string(v); }
int64_t pieces(int64_t size, int64_t piece) { return (size + piece - 1) / piece; }

void check_positive(const char* name, int64_t v) {
  if (v < 1) invalid("convolution: " + std::string(name) + " is " + str(v) + "; it must be at least 1");
}

void check(const ConvDesc& d) {
  if (d.spatial < 1 || d.spatial > kMaxSpatialDims)
    invalid("convolution: " + str(d.spatial) + " spatial dims; 1 to " + str(kMaxSpatialDims) +
            " are supported");
  if (d.batch < 0) invalid("convolution: batch is " + str(d.batch) + "; a size cannot be negative");
  check_positive("in_channels", d.in_channels);
  check_positive("out_channels", d.out_channels);
  check_positive("groups", d.groups);
  if (d.in_channels % d.groups != 0 || d.out_channels % d.groups != 0)
    invalid("convolution: " + str(d.groups) + " groups do not divide " + str(d.in_channels) + " input and " +
            str(d.out_channels) + " output channels");
  int64_t in = 4, out = 4, kernel = 4;
  for (int i = 0; i < d.spatial; ++i) {
    check_positive("a spatial size", d.in[i]);
    check_positive("a kernel size", d.kernel[i]);
    check_positive("a stride", d.stride[i]);
    check_positive("a dilation", d.dilation[i]);
    if (d.pad_before[i] < 0 || d.pad_after[i] < 0)
      invalid("convolution: padding " + str(d.pad_before[i]) + ", " + str(d.pad_after[i]) +
              " in spatial dim " + str(i) + "; padding cannot be negative");
    in = checked_mul(in, d.in[i], "the input");
    out = checked_mul(out, d.out(i), "the output");
    kernel = checked_mul(kernel, d.kernel[i], "the kernel");
  }
  const int64_t images = std::max<int64_t>(d.batch, 1);
  checked_mul(checked_mul(in, d.in_channels, "the input"), images, "the input");
  checked_mul(checked_mul(out, d.out_channels, "the output"), images, "the output");
  checked_mul(checked_mul(kernel, d.in_channels / d.groups, "the weights"), d.out_channels, "the weights");
  if (!is_floating(d.dtype) || d.dtype == DType::f64)
    fail(ErrorKind::Unsupported,
         "convolution: dtype " + std::string(to_string(d.dtype)) + "; f32, f16 and bf16 are supported");
}

// The next size of block, up to twice `images`, that leaves no smaller last block (and needs no second
// primitive).
int64_t even_block(int64_t batch, int64_t images) {
  for (int64_t n = images; n <= 2 * images && n <= batch; ++n)
    if (batch % n == 0) return n;
  return images;
}

// The even split of `channels` into at most `wanted` ranges of a multiple of 16 (a vector's worth) that is
// finest.
int64_t channel_ranges(int64_t channels, int64_t wanted) {
  for (int64_t ranges = wanted; ranges > 1; --ranges)
    if (channels % (ranges * 16) == 0) return ranges;
  return 1;
}

}  // namespace

int64_t ConvDesc::out(int i) const {
  const int64_t padded = checked_add(checked_add(in[i], pad_before[i], "padding"), pad_after[i], "padding");
  const int64_t reach = checked_add(checked_mul(dilation[i], kernel[i] - 1, "the kernel"), 1, "the kernel");
  if (reach > padded)
    invalid("convolution: the kernel spans " + str(reach) + " elements in spatial dim " + str(i) +
            ", more than the padded input's " + str(padded));
  return (padded - reach) / stride[i] + 1;
}

struct ConvPlan::Impl {
  ConvDesc d;
  int64_t in_size = 1, out_size = 1, kernel_size = 1;  // elements of one plane, one filter
  int64_t images = 0, image_blocks = 0;                // images of a block
  int64_t channels = 0, channel_blocks = 1;            // of the written channels, those of a block
  std::optional<ConvPrimitive> whole, rest;  // for full blocks, and for the last one if it is smaller
  int64_t workspace_bytes = 0;
  int64_t input_f32 = 0, output_f32 = 0, weights_f32 = 0, bias_f32 = 0, residual_f32 = 0;  // byte offsets
  int64_t packed_whole = 0, packed_rest = 0, parts = 0, bias_parts = 0;

  int64_t input_count() const { return d.batch * d.in_channels * in_size; }
  int64_t output_count() const { return d.batch * d.out_channels * out_size; }
  int64_t weights_count() const { return d.out_channels * (d.in_channels / d.groups) * kernel_size; }
  bool converts() const { return d.dtype != DType::f32; }
  bool gradient_of_weights() const { return d.pass == ConvPass::BackwardWeights; }
  int64_t bias_count() const { return d.pass == ConvPass::BackwardData ? d.in_channels : d.out_channels; }
  // Elements between the weights of two channel blocks.
  int64_t weights_step() const {
    return channels * kernel_size * (d.pass == ConvPass::BackwardData ? 1 : d.in_channels / d.groups);
  }

  explicit Impl(const ConvDesc& desc);
  void cut();
  void lay_out_workspace();
  int64_t reserve(int64_t elements);
  float* at(const ConvArgs& args, int64_t offset) const {
    return reinterpret_cast<float*>(static_cast<char*>(args.workspace) + offset);
  }

  void run(const ConvArgs& args, ThreadPool& pool) const;
  void run_f32(const ConvArgs& args, ThreadPool& pool) const;
  void pack_weights(const ConvArgs& args, ThreadPool& pool) const;
  void run_block(const ConvArgs& args, int64_t block) const;
  void finish_block(const ConvArgs& args, int64_t image, int64_t count, int64_t channel) const;
  void sum_parts(const ConvArgs& args, ThreadPool& pool) const;
};

ConvPlan::Impl::Impl(const ConvDesc& desc) : d(desc) {
  check(d);
  for (int i = 0; i < d.spatial; ++i) {
    in_size *= d.in[i];
    out_size *= d.out(i);
    kernel_size *= d.kernel[i];
  }
  cut();
  lay_out_workspace();
}

void ConvPlan::Impl::cut() {
  channels = d.pass == ConvPass::BackwardData ? d.in_channels : d.out_channels;
  if (d.batch == 0) return;
  const double flops = 2.0 * static_cast<double>(output_count()) *
                       static_cast<double>(d.in_channels / d.groups) * static_cast<double>(kernel_size);
  const double bytes = 12.0 * static_cast<double>(input_count() + output_count());
  const double blocks = (flops / 150e3 + bytes / 20e3) / kBlockMicroseconds;
  const int64_t wanted = std::clamp<int64_t>(static_cast<int64_t>(blocks), 1, kMaxBlocks);
  const int64_t image_bytes = 4 * (d.in_channels * in_size + d.out_channels * out_size);
  images = std::min(pieces(d.batch, wanted), std::max<int64_t>(1, kBlockBytes / image_bytes));
  if (gradient_of_weights()) images = std::max(images, pieces(d.batch, kMaxParts));
  images = even_block(d.batch, images);
  image_blocks = pieces(d.batch, images);
  if (d.groups == 1 && image_blocks < wanted) {
    channel_blocks = channel_ranges(channels, wanted / image_blocks);
    channels /= channel_blocks;
  }
  whole.emplace(d, ConvBlock{images, channels});
  if (d.batch % images != 0) rest.emplace(d, ConvBlock{d.batch % images, channels});
}

int64_t ConvPlan::Impl::reserve(int64_t elements) {
  const int64_t offset = workspace_bytes;
  workspace_bytes =
      checked_add(workspace_bytes, round_up(checked_mul(elements, 4, "a workspace"), 64), "a workspace");
  return offset;
}

void ConvPlan::Impl::lay_out_workspace() {
  if (converts()) {
    input_f32 = reserve(input_count());
    output_f32 = reserve(output_count());
    weights_f32 = reserve(weights_count());
    if (d.bias) bias_f32 = reserve(bias_count());
    if (d.residual) residual_f32 = reserve(d.pass == ConvPass::Forward ? output_count() : input_count());
  }
  if (whole) packed_whole = reserve(whole->packed_weights_bytes() / 4 * channel_blocks);
  if (rest) packed_rest = reserve(rest->packed_weights_bytes() / 4 * channel_blocks);
  if (gradient_of_weights() && image_blocks > 1) {
    parts = reserve(checked_mul(image_blocks, weights_count(), "a workspace"));
    if (d.bias) bias_parts = reserve(image_blocks * d.out_channels);
  }
}

namespace {

void parallel_ranges(int64_t n, ThreadPool& pool, const auto& body) {
  pool.parallel_for(pieces(n, kConvertGrain), [&body, n](int64_t block) {
    const int64_t begin = block * kConvertGrain;
    body(begin, std::min(kConvertGrain, n - begin));
  });
}

void convert_in(DType t, const void* from, float* to, int64_t n, ThreadPool& pool) {
  parallel_ranges(n, pool, [&](int64_t begin, int64_t count) {
    load_row(t, element(from, t, begin), 1, to + begin, count);
  });
}

void convert_out(DType t, const float* from, void* to, int64_t n, ThreadPool& pool) {
  parallel_ranges(n, pool, [&](int64_t begin, int64_t count) {
    store_row(t, from + begin, element(to, t, begin), count);
  });
}

}  // namespace

void ConvPlan::Impl::run(const ConvArgs& args, ThreadPool& pool) const {
  if (!converts()) return run_f32(args, pool);
  ConvArgs f = args;
  f.input = at(args, input_f32);
  f.output = at(args, output_f32);
  f.weights = at(args, weights_f32);
  f.bias = d.bias ? at(args, bias_f32) : nullptr;
  f.residual = d.residual ? at(args, residual_f32) : nullptr;
  const auto in = [&](const void* from, const void* to, int64_t n) {
    convert_in(d.dtype, from, static_cast<float*>(const_cast<void*>(to)), n, pool);
  };
  const auto out = [&](const void* from, void* to, int64_t n) {
    convert_out(d.dtype, static_cast<const float*>(from), to, n, pool);
  };
  if (d.pass != ConvPass::BackwardData) in(args.input, f.input, input_count());
  if (d.pass != ConvPass::Forward) in(args.output, f.output, output_count());
  if (!gradient_of_weights()) {
    in(args.weights, f.weights, weights_count());
    if (d.bias) in(args.bias, f.bias, bias_count());
    if (d.residual)
      in(args.residual, f.residual, d.pass == ConvPass::Forward ? output_count() : input_count());
  }
  run_f32(f, pool);
  if (d.pass == ConvPass::Forward) out(f.output, args.output, output_count());
  if (d.pass == ConvPass::BackwardData) out(f.input, args.input, input_count());
  if (gradient_of_weights()) {
    out(f.weights, args.weights, weights_count());
    if (d.bias) out(f.bias, args.bias, bias_count());
  }
}

void ConvPlan::Impl::run_f32(const ConvArgs& args, ThreadPool& pool) const {
  if (d.batch == 0) {
    if (gradient_of_weights()) sum_parts(args, pool);
    return;
  }
  if (!gradient_of_weights()) pack_weights(args, pool);
  pool.parallel_for(image_blocks * channel_blocks, [this, &args](int64_t block) { run_block(args, block); });
  if (gradient_of_weights() && image_blocks > 1) sum_parts(args, pool);
}

void ConvPlan::Impl::pack_weights(const ConvArgs& args, ThreadPool& pool) const {
  const auto pack = [&](const std::optional<ConvPrimitive>& primitive, int64_t offset) {
    if (!primitive || primitive->packed_weights_bytes() == 0) return;
    const int64_t step = primitive->packed_weights_bytes() / 4;
    const auto body = [&](int64_t i) {
      const float* from = static_cast<const float*>(args.weights) + i * weights_step();
      primitive->pack_weights(from, at(args, offset) + i * step);
    };
    pool.parallel_for(channel_blocks, std::cref(body));  // a copy of it would be too large for no allocation
  };
  pack(whole, packed_whole);
  pack(rest, packed_rest);
}

void ConvPlan::Impl::run_block(const ConvArgs& args, int64_t block) const {
  const int64_t which = block / channel_blocks, range = block % channel_blocks;
  const int64_t image = which * images, count = std::min(images, d.batch - image), channel = range * channels;
  const bool full = count == images;
  const ConvPrimitive& primitive = full ? *whole : *rest;
  float* input = static_cast<float*>(args.input) + image * d.in_channels * in_size;
  float* output = static_cast<float*>(args.output) + image * d.out_channels * out_size;
  float* weights = static_cast<float*>(args.weights) + range * weights_step();
  float* bias = nullptr;
  if (d.pass == ConvPass::BackwardData) {
    input += channel * in_size;
  } else {
    output += channel * out_size;
  }
  if (gradient_of_weights()) {
    if (d.bias) bias = static_cast<float*>(args.bias) + channel;
    if (image_blocks > 1) {
      weights = at(args, parts) + which * weights_count() + range * weights_step();
      if (d.bias) bias = at(args, bias_parts) + which * d.out_channels + channel;
    }
  } else if (const int64_t packed = primitive.packed_weights_bytes(); packed != 0) {
    weights = at(args, full ? packed_whole : packed_rest) + range * packed / 4;
  }
  primitive.run(input, weights, output, bias);
  if (!gradient_of_weights()) finish_block(args, image, count, channel);
}

void ConvPlan::Impl::finish_block(const ConvArgs& args, int64_t image, int64_t count, int64_t channel) const {
  if (!d.bias && !d.residual && d.activation == Activation::None) return;
  const bool forward = d.pass == ConvPass::Forward;
  const int64_t plane = forward ? out_size : in_size;
  const int64_t planes = forward ? d.out_channels : d.in_channels;
  float* written = static_cast<float*>(forward ? args.output : args.input);
  const float* residual = static_cast<const float*>(args.residual);
  const float* bias = static_cast<const float*>(args.bias);
  for (int64_t i = image; i < image + count; ++i)
    for (int64_t c = channel; c < channel + channels; ++c) {
      const int64_t begin = (i * planes + c) * plane;
      apply_channel(d.activation, d.bias ? bias[c] : 0.0f, d.residual ? residual + begin : nullptr,
                    written + begin, plane);
    }
}

void ConvPlan::Impl::sum_parts(const ConvArgs& args, ThreadPool& pool) const {
  const auto sum = [&](int64_t offset, void* to, int64_t n) {
    float* total = static_cast<float*>(to);
    constexpr int64_t kGrain = 4096;
    const auto body = [&](int64_t block) {
      const int64_t begin = block * kGrain, end = std::min(n, begin + kGrain);
      if (image_blocks == 0) return std::fill(total + begin, total + end, 0.0f);
      const float* part = at(args, offset);
      std::memcpy(total + begin, part + begin, static_cast<size_t>(end - begin) * sizeof(float));
      for (int64_t p = 1; p < image_blocks; ++p) {
        part += n;
        for (int64_t i = begin; i < end; ++i) total[i] += part[i];
      }
    };
    pool.parallel_for(pieces(n, kGrain), std::cref(body));
  };
  sum(parts, args.weights, weights_count());
  if (d.bias) sum(bias_parts, args.bias, d.out_channels);
}

ConvPlan::ConvPlan(const ConvDesc& desc) : impl_(std::make_unique<const Impl>(desc)) {}
ConvPlan::~ConvPlan() = default;
ConvPlan::ConvPlan(ConvPlan&&) noexcept = default;
ConvPlan& ConvPlan::operator=(ConvPlan&&) noexcept = default;
int64_t ConvPlan::workspace_bytes() const { return impl_->workspace_bytes; }
int64_t ConvPlan::blocks() const { return impl_->image_blocks * impl_->channel_blocks; }
void ConvPlan::run(const ConvArgs& args, ThreadPool& pool) const { impl_->run(args, pool); }

}  // namespace fovea::onednn
