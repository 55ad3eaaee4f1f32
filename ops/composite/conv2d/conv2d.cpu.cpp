// Convolutions in f32 (and halves through f32) by oneDNN; f64 goes through the decomposition.
#include "framework/backend/cpu/onednn/conv.h"
#include "framework/backend/cpu/onednn/gemm.h"
#include "framework/backend/kernel.h"
#include "ops/shared/blocks.h"
#include "ops/shared/windows.h"

namespace fovea {
namespace {

using onednn::ConvPass;

// All sizes but the batch's are at least 1: empty tensors go through the decomposition.
bool not_empty(const KernelRequest& r) {
  for (const auto* operands : {&r.in, &r.out})
    for (const OperandSpec& s : *operands)
      for (size_t d = s.rank() == 4 ? 1 : 0; d < s.shape.size(); ++d)
        if (s.shape[d] < 1) return false;
  return true;
}

// oneDNN divides by zero for sizes beyond 32 bits.
bool fits(const KernelRequest& r) {
  for (const auto* operands : {&r.in, &r.out})
    for (const OperandSpec& s : *operands)
      for (int64_t d : s.shape)
        if (d > INT32_MAX) return false;
  return true;
}

onednn::ConvDesc describe(ConvPass pass, const KernelRequest& r, const OperandSpec& x,
                          const OperandSpec& weight) {
  const Windows w = windows_of(r.attrs, weight.shape[2], weight.shape[3]);
  onednn::ConvDesc d;
  d.pass = pass;
  d.dtype = x.dtype;
  d.batch = x.shape[0];
  d.in_channels = x.shape[1];
  d.out_channels = weight.shape[0];
  d.groups = r.attrs.integer("groups");
  for (int i = 0; i < 2; ++i) {
    d.in[i] = x.shape[2 + i];
    d.kernel[i] = w.kernel[i];
    d.stride[i] = w.stride[i];
    d.dilation[i] = w.dilation[i];
    d.pad_before[i] = w.low[i];
    d.pad_after[i] = w.high[i];
  }
  return d;
}

// set(arguments, launch) says which operand is which.
template <class Set>
std::unique_ptr<PreparedKernel> prepared(const onednn::ConvDesc& d, Set set) {
  onednn::ConvPlan plan(d);
  const int64_t workspace = plan.workspace_bytes();
  return make_prepared(
      [plan = std::move(plan), set](const KernelArgs& args) {
        onednn::ConvArgs c;
        c.workspace = args.workspace;
        set(c, args);
        plan.run(c, args.pool);
      },
      workspace);
}

void* read(const KernelArgs& args, int i) { return const_cast<void*>(args.in[i]); }

Kernel& conditions(Kernel& kernel) {
  return kernel.dtypes({DType::f32, DType::bf16, DType::f16})
      .when(not_empty, "an operand is empty")
      .when(fits, "a size exceeds 2^31 - 1");
}

// A window of one element that visits every place once mixes channels and nothing else: W x of an image as it
// lies. Several small images are better off with weights that are packed once for all.
bool mixes_channels(const KernelRequest& r) {
  const Windows w = windows_of(r.attrs, r.in[1].shape[2], r.in[1].shape[3]);
  for (int i = 0; i < 2; ++i)
    if (w.kernel[i] != 1 || w.stride[i] != 1 || w.low[i] != 0 || w.high[i] != 0) return false;
  const int64_t plane = r.in[0].shape[2] * r.in[0].shape[3];
  return r.attrs.integer("groups") == 1 && (r.in[0].shape[0] == 1 || plane >= 512);
}

struct ChannelMix {
  int64_t images, rows, columns, depth;
  Blocks row_blocks, column_blocks;  // of one image; one of them has one block

  ChannelMix(int64_t images, int64_t rows, int64_t columns, int64_t depth)
      : images(images), rows(rows), columns(columns), depth(depth) {
    constexpr double kBlock = 8e6;  // multiplications
    const double work = static_cast<double>(rows) * static_cast<double>(columns) * static_cast<double>(depth);
    const int64_t wanted = std::clamp<int64_t>(static_cast<int64_t>(work / kBlock), 1, 16);
    const bool wide = columns >= 2 * rows;
    const auto cut = [&](int64_t size, int64_t unit, bool cuts) {
      const int64_t each = cuts ? ((size + wanted - 1) / wanted + unit - 1) / unit * unit : size;
      return Blocks(size, each, size);
    };
    row_blocks = cut(rows, 16, !wide);
    column_blocks = cut(columns, 48, wide);
  }
  void run(const float* x, const float* weight, const float* bias, float* y, ThreadPool& pool) const {
    const int64_t each = row_blocks.count * column_blocks.count;
    for_blocks(pool, Blocks(images * each, 1, images * each), [&](int64_t block, int64_t, int64_t) {
      const int64_t image = block / each, part = block % each, r = part / column_blocks.count,
                    c = part % column_blocks.count, row = row_blocks.begin(r),
                    column = column_blocks.begin(c), n = column_blocks.end(c) - column;
      float* out = y + image * rows * columns + column;
      onednn::gemm(row_blocks.end(r) - row, n, depth, 1.0f, {weight + row * depth, depth, 1},
                   {x + image * depth * columns + column, columns, 1}, 0.0f, out + row * columns, columns);
      for (int64_t i = row; bias && i < row_blocks.end(r); ++i)
        onednn::apply_channel(onednn::Activation::None, bias[i], nullptr, out + i * columns, n);
    });
  }
};

}  // namespace

FOVEA_KERNEL(cpu, conv2d, products) {
  kernel.dtypes({DType::f32})
      .priority(20)
      .when(not_empty, "an operand is empty")
      .when(mixes_channels, "the windows are not single elements next to each other")
      .prepare([](const KernelRequest& r) {
        const ChannelMix mix(r.in[0].shape[0], r.in[1].shape[0], r.in[0].shape[2] * r.in[0].shape[3],
                             r.in[0].shape[1]);
        return make_prepared([mix, bias = r.in.size() > 2](const KernelArgs& args) {
          mix.run(args.input<float>(0), args.input<float>(1), bias ? args.input<float>(2) : nullptr,
                  args.output<float>(0), args.pool);
        });
      });
}

FOVEA_KERNEL(cpu, conv2d, onednn) {
  conditions(kernel).prepare([](const KernelRequest& r) {
    onednn::ConvDesc d = describe(ConvPass::Forward, r, r.in[0], r.in[1]);
    d.bias = r.in.size() > 2;
    return prepared(d, [bias = d.bias](onednn::ConvArgs& c, const KernelArgs& args) {
      c.input = read(args, 0), c.weights = read(args, 1), c.output = args.out[0];
      if (bias) c.bias = read(args, 2);
    });
  });
}

FOVEA_KERNEL(cpu, conv2d_backward_input, onednn) {
  conditions(kernel).prepare([](const KernelRequest& r) {
    return prepared(describe(ConvPass::BackwardData, r, r.out[0], r.in[1]),
                    [](onednn::ConvArgs& c, const KernelArgs& args) {
                      c.output = read(args, 0), c.weights = read(args, 1), c.input = args.out[0];
                    });
  });
}

FOVEA_KERNEL(cpu, conv2d_backward_weight, onednn) {
  conditions(kernel).prepare([](const KernelRequest& r) {
    return prepared(describe(ConvPass::BackwardWeights, r, r.in[0], r.out[0]),
                    [](onednn::ConvArgs& c, const KernelArgs& args) {
                      c.input = read(args, 0), c.output = read(args, 1), c.weights = args.out[0];
                    });
  });
}

}  // namespace fovea
