// Convolutions of single images as matrix products: weights [O, C kh kw] times columns [C kh kw, H' W'], one
// column the elements that a window sees. Blocked layouts, which oneDNN's convolutions want, cost a copy of
// all weights in each call; that shows where images are small. Columns of windows of one element are the
// image.
#include <cstring>

#include "framework/backend/cpu/onednn/conv.h"
#include "framework/backend/cpu/onednn/gemm.h"
#include "framework/backend/kernel.h"
#include "ops/shared/blocks.h"
#include "ops/shared/windows.h"

namespace fovea {
namespace {

constexpr int64_t kMostColumns = 1 << 24;  // elements
constexpr int64_t kSmallPlane = 400, kLargePlane = 512;

struct Products {
  Windows windows;
  int64_t images = 0, channels = 0, rows = 0, depth = 0, columns = 0;  // columns: places of an image
  int64_t in[2] = {}, out[2] = {};
  Blocks row_blocks, column_blocks;  // of one image; one of them has one block

  explicit Products(const KernelRequest& r)
      : windows(windows_of(r.attrs, r.in[1].shape[2], r.in[1].shape[3])),
        images(r.in[0].shape[0]),
        channels(r.in[0].shape[1]),
        rows(r.in[1].shape[0]),
        depth(channels * r.in[1].shape[2] * r.in[1].shape[3]) {
    for (int i = 0; i < 2; ++i) in[i] = r.in[0].shape[2 + i], out[i] = r.out[0].shape[2 + i];
    columns = out[0] * out[1];
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

  bool single_elements() const { return windows.kernel[0] == 1 && windows.kernel[1] == 1; }
  bool as_it_lies() const {
    for (int i = 0; i < 2; ++i)
      if (windows.kernel[i] != 1 || windows.stride[i] != 1 || windows.low[i] != 0 || windows.high[i] != 0)
        return false;
    return true;
  }
  bool pays() const {
    if (as_it_lies()) return images == 1 || columns >= kLargePlane;
    if (images != 1 || depth > kMostColumns / std::max<int64_t>(columns, 1)) return false;
    const bool strided_rows = in[0] == 1 && windows.stride[1] > 1 && channels >= 16;
    return single_elements() || strided_rows || columns <= kSmallPlane;
  }
  int64_t workspace() const { return as_it_lies() ? 0 : depth * columns * int64_t{sizeof(float)}; }

  // Row (c, i, j) of the columns: what element (i, j) of the windows sees of channel c.
  void fill(const float* x, float* to, int64_t row) const {
    const int64_t taps = windows.kernel[0] * windows.kernel[1], c = row / taps, tap = row % taps;
    const int64_t i = tap / windows.kernel[1] * windows.dilation[0] - windows.low[0],
                  j = tap % windows.kernel[1] * windows.dilation[1] - windows.low[1];
    const int64_t stride = windows.stride[1];
    const int64_t first = std::min(out[1], j < 0 ? (-j + stride - 1) / stride : int64_t{0});
    const int64_t end = j >= in[1] ? first : std::max(first, std::min(out[1], (in[1] - 1 - j) / stride + 1));
    for (int64_t a = 0; a < out[0]; ++a, to += out[1]) {
      const int64_t at = a * windows.stride[0] + i;
      if (at < 0 || at >= in[0]) {
        std::fill(to, to + out[1], 0.0f);
        continue;
      }
      const float* from = x + (c * in[0] + at) * in[1];
      std::fill(to, to + first, 0.0f);
      if (stride == 1 && end > first)
        std::memcpy(to + first, from + first + j, static_cast<size_t>(end - first) * sizeof(float));
      else
        for (int64_t b = first; b < end; ++b) to[b] = from[b * stride + j];
      std::fill(to + end, to + out[1], 0.0f);
    }
  }

  void run(const float* x, const float* weight, const float* bias, float* y, float* space,
           ThreadPool& pool) const {
    if (space) {
      const Blocks blocks(depth, std::max<int64_t>(1, 16384 / columns));
      for_blocks(pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) fill(x, space + row * columns, row);
      });
      x = space;
    }
    const int64_t each = row_blocks.count * column_blocks.count;
    for_blocks(pool, Blocks(images * each, 1, images * each), [&](int64_t block, int64_t, int64_t) {
      const int64_t image = block / each, part = block % each, r = part / column_blocks.count,
                    c = part % column_blocks.count, row = row_blocks.begin(r),
                    column = column_blocks.begin(c), n = column_blocks.end(c) - column;
      float* to = y + image * rows * columns + column;
      onednn::gemm(row_blocks.end(r) - row, n, depth, 1.0f, {weight + row * depth, depth, 1},
                   {x + image * depth * columns + column, columns, 1}, 0.0f, to + row * columns, columns);
      for (int64_t i = row; bias && i < row_blocks.end(r); ++i)
        onednn::apply_channel(onednn::Activation::None, bias[i], nullptr, to + i * columns, n);
    });
  }
};

bool not_empty(const KernelRequest& r) {
  for (const auto* operands : {&r.in, &r.out})
    for (const OperandSpec& s : *operands)
      if (s.size() == 0) return false;
  return true;
}

}  // namespace

FOVEA_KERNEL(cpu, conv2d, products) {
  kernel.dtypes({DType::f32})
      .priority(20)
      .when(not_empty, "an operand is empty")
      .when([](const KernelRequest& r) { return r.attrs.integer("groups") == 1; }, "channels are in groups")
      .when([](const KernelRequest& r) { return Products(r).pays(); },
            "copying what the windows see costs more than weights in another layout")
      .prepare([](const KernelRequest& r) {
        const Products products(r);
        return make_prepared(
            [products, bias = r.in.size() > 2](const KernelArgs& args) {
              float* space = products.as_it_lies() ? nullptr : static_cast<float*>(args.workspace);
              products.run(args.input<float>(0), args.input<float>(1), bias ? args.input<float>(2) : nullptr,
                           args.output<float>(0), space, args.pool);
            },
            products.workspace());
      });
}

}  // namespace fovea
