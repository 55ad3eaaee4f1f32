// Pooling over one, two or three axes, in terms of the 2-d ops.
#include <algorithm>
#include <limits>

#include "frontends/import/onnx/ops/common.h"
#include "ops/shared/windows.h"

namespace fovea::onnx {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

Dim size_behind(const SpatialWindows& w, size_t d, const Dim& n) {
  Windows one;  // the rule of the 2-d ops
  one.kernel[0] = w.kernel[d];
  one.stride[0] = w.stride[d];
  one.dilation[0] = w.dilation[d];
  one.low[0] = w.low[d];
  one.high[0] = w.high[d];
  one.ceil = w.ceil;
  return one.count("pooling", 0, n);
}

// Runs a 2-d pooling over each axis in turn, or over both of two: f(planes, axes of the windows).
template <class F>
Tensor by_planes(const Tensor& x, const SpatialWindows& w, F f) {
  if (w.rank() == 2) return f(x, size_t{0}, size_t{1});
  Tensor y = x;
  for (size_t d = 0; d < w.kernel.size(); ++d) {
    const int64_t axis = 2 + static_cast<int64_t>(d);
    const Shape shape = y.shape();
    const Dim before = product(Shape(shape.begin(), shape.begin() + axis));
    const Dim behind = product(Shape(shape.begin() + axis + 1, shape.end()));
    const Tensor pooled = f(reshape(y, {1, before, shape[static_cast<size_t>(axis)], behind}), d, SIZE_MAX);
    y = reshape(pooled, with_size(shape, axis, pooled.dim(2)));
  }
  return y;
}

// One number an axis of the plane; 1 or 0 along an axis that has no window.
Ints pair(const Ints& list, size_t first, size_t second, int64_t none) {
  return {list[first], second == SIZE_MAX ? none : list[second]};
}
Ints pads(const SpatialWindows& w, size_t first, size_t second) {
  Ints p{w.low[first], w.high[first], 0, 0};
  if (second != SIZE_MAX) p[2] = w.low[second], p[3] = w.high[second];
  return p;
}

Tensor largest(const Tensor& x, const SpatialWindows& w) {
  return by_planes(x, w, [&](const Tensor& planes, size_t i, size_t j) {
    return max_pool2d(planes, pair(w.kernel, i, j, 1),
                      {.stride = pair(w.stride, i, j, 1),
                       .padding = pads(w, i, j),
                       .dilation = pair(w.dilation, i, j, 1),
                       .ceil_mode = w.ceil});
  });
}

// Also right where padding does not count: how many elements of a window do is a product over its axes.
Tensor averages(const Tensor& x, const SpatialWindows& w, bool count_padding) {
  return by_planes(x, w, [&](const Tensor& planes, size_t i, size_t j) {
    return avg_pool2d(
        planes, pair(w.kernel, i, j, 1),
        {.stride = pair(w.stride, i, j, 1), .padding = pads(w, i, j), .count_include_pad = count_padding});
  });
}

// x [N, C, ...] padded so that the last window ends where the axis does: low and high belong to the operand.
Tensor padded_to_windows(const Tensor& x, const SpatialWindows& w, double value) {
  Shape low{0, 0}, high{0, 0};
  for (size_t d = 0; d < w.kernel.size(); ++d) {
    const Dim n = x.dim(2 + static_cast<int64_t>(d)), windows = size_behind(w, d, n);
    const int64_t reach = w.dilation[d] * (w.kernel[d] - 1) + 1;
    low.push_back(w.low[d]);
    high.push_back((windows - Dim(1)) * Dim(w.stride[d]) + Dim(reach - w.low[d]) - n);
  }
  return pad(x, low, high, {}, value);
}

// The elements (i, j, ...) of all windows of an operand padded to its windows.
Tensors taps_of(Context& c, const Tensor& padded, const SpatialWindows& w) {
  int64_t count = 1;
  for (int64_t k : w.kernel)
    if (__builtin_mul_overflow(count, k, &count) || count > 4096)
      c.unsupported("windows of more than 4096 elements with a ceil_mode, dilations or indices");
  Tensors taps;
  for (int64_t t = 0; t < count; ++t) {
    Shape starts{0, 0}, stops{padded.dim(0), padded.dim(1)};
    Ints steps{1, 1};
    int64_t rest = t;
    starts.resize(2 + w.kernel.size());
    stops.resize(2 + w.kernel.size());
    steps.resize(2 + w.kernel.size());
    for (size_t d = w.kernel.size(); d-- > 0;) {
      const int64_t first = rest % w.kernel[d] * w.dilation[d];
      rest /= w.kernel[d];
      starts[2 + d] = first;
      stops[2 + d] = padded.dim(2 + static_cast<int64_t>(d)) - Dim(w.dilation[d] * (w.kernel[d] - 1) - first);
      steps[2 + d] = w.stride[d];
    }
    taps.push_back(strided_slice(padded, starts, stops, steps));
  }
  return taps;
}

// Where in the tensor the largest element of each window stands: for one thing its place among the taps.
Tensor largest_position(Context& c, const Tensor& x, const SpatialWindows& w) {
  const Shape shape = x.shape();
  const Dim plane = product(Shape(shape.begin() + 2, shape.end()));
  const bool columns_first = c.integer("storage_order", 0) != 0;
  Tensor place;  // of each element in its plane
  for (size_t k = 0; k < w.kernel.size(); ++k) {
    const size_t d = columns_first ? w.kernel.size() - 1 - k : k;
    const Tensor at = iota(Shape(shape.begin() + 2, shape.end()), static_cast<int64_t>(d));
    place = place.defined() ? place * extent(shape[2 + d]) + at : at;
  }
  const Tensor in_plane = reshape(place, [&] {
    Shape s = shape;
    s[0] = s[1] = 1;
    return s;
  }());
  const Tensors values = taps_of(c, padded_to_windows(x, w, -kInf), w);
  const Tensors places = taps_of(c, padded_to_windows(in_plane, w, 0), w);
  Tensor best = values[0], at = broadcast_to(places[0], best.shape());
  for (size_t t = 1; t < values.size(); ++t) {
    const Tensor better = greater(values[t], best);
    at = where(better, places[t], at);
    best = where(better, values[t], best);
  }
  const Tensor first = iota({shape[0], shape[1]}, 0) * extent(shape[1]) + iota({shape[0], shape[1]}, 1);
  Shape planes(shape.size(), Dim(1));
  planes[0] = shape[0];
  planes[1] = shape[1];
  return reshape(first, planes) * extent(plane) + at;
}

std::vector<Tensor> max_pooled(Context& c) {
  const Tensor x = c.in(0);
  const SpatialWindows w = spatial_windows(c, x, c.ints("kernel_shape"));
  const bool whole = !is_floating(x.dtype());
  // 8-bit integers are exact in f32.
  Tensors out{whole ? cast(largest(cast(x, DType::f32), w), x.dtype()) : largest(x, w)};
  if (c.outputs() > 1) out.push_back(largest_position(c, whole ? cast(x, DType::f32) : x, w));
  return out;
}

Tensor average_pooled(Context& c) {
  const Tensor x = c.in(0);
  const SpatialWindows w = spatial_windows(c, x, c.ints("kernel_shape"));
  const bool count_padding = c.integer("count_include_pad", 0) != 0;
  if (!w.ceil && w.dilation == Ints(w.kernel.size(), 1)) return averages(x, w, count_padding);
  // The sum over each window by how many of its elements count: those of x, or of x and its padding, but not
  // what a last window takes beyond that.
  const Tensor whole = padded_to_windows(widened(x), w, 0);
  Shape shape = x.shape(), before(2, Dim(0)), behind(2, Dim(0));
  shape[0] = shape[1] = 1;
  for (size_t d = 0; d < w.kernel.size(); ++d) {
    if (count_padding) shape[2 + d] = shape[2 + d] + Dim(w.low[d]) + Dim(w.high[d]);
    before.push_back(count_padding ? 0 : w.low[d]);
    behind.push_back(whole.dim(2 + static_cast<int64_t>(d)) - shape[2 + d] - before.back());
  }
  const auto total = [&](const Tensor& padded) {
    Tensor sum;
    for (const Tensor& tap : taps_of(c, padded, w)) sum = sum.defined() ? sum + tap : tap;
    return sum;
  };
  const Tensor counted = pad(ones(shape, whole.dtype()), before, behind);
  return cast(total(whole) / maximum(total(counted), 1.0), x.dtype());
}

Tensor lp_pooled(Context& c) {
  const Tensor x = c.in(0);
  const SpatialWindows w = spatial_windows(c, x, c.ints("kernel_shape"));
  const double p = static_cast<double>(c.integer("p", 2));
  if (p < 1) c.invalid("p is " + std::to_string(p));
  Tensor sum;
  for (const Tensor& tap : taps_of(c, padded_to_windows(pow(abs(x), p), w, 0), w))
    sum = sum.defined() ? sum + tap : tap;
  return pow(sum, 1 / p);
}

Ints spatial_axes(Context& c, const Tensor& x) {
  if (x.rank() < 3) c.invalid("the operand has rank " + std::to_string(x.rank()) + ", at least 3 is needed");
  return axis_range(2, x.rank());
}

// Each value back where MaxPool took it from, zeros elsewhere.
Tensor unpooled(Context& c) {
  const Tensor x = c.in(0), at = c.in(1);
  SpatialWindows w = spatial_windows(c, x, c.ints("kernel_shape"));
  Shape shape{x.dim(0), x.dim(1)};
  for (size_t d = 0; d < w.kernel.size(); ++d)
    shape.push_back((x.dim(2 + static_cast<int64_t>(d)) - Dim(1)) * Dim(w.stride[d]) +
                    Dim(w.kernel[d] - w.low[d] - w.high[d]));
  const Dim count = product(x.shape());
  const Tensor flat = scatter_add(zeros({product(shape)}, x.dtype()), reshape(cast(at, DType::i64), {count}),
                                  reshape(x, {count}));
  const Tensor y = reshape(flat, shape);
  if (!c.has(2)) return y;
  const Shape wanted = c.dims(2);  // zeros behind, where it is larger
  check_count(c, "output_shape", wanted.size(), x.rank());
  Shape behind;
  for (size_t d = 0; d < shape.size(); ++d) behind.push_back(wanted[d] - shape[d]);
  return pad(y, Shape(shape.size(), Dim(0)), behind);
}

}  // namespace

FOVEA_ONNX(MaxPool) { return max_pooled(c); }
FOVEA_ONNX(AveragePool) { return {average_pooled(c)}; }
FOVEA_ONNX(LpPool) { return {lp_pooled(c)}; }
FOVEA_ONNX(GlobalAveragePool) {
  const Tensor x = c.in(0);
  return {mean(x, spatial_axes(c, x), true)};
}
FOVEA_ONNX(GlobalMaxPool) {
  const Tensor x = c.in(0);
  return {max(x, spatial_axes(c, x), true)};
}
FOVEA_ONNX(MaxUnpool) { return {unpooled(c)}; }

}  // namespace fovea::onnx
