// Convolutions over one, two or three axes, in terms of the 2-d ops.
#include <algorithm>

#include "frontends/import/onnx/ops/common.h"

namespace fovea::onnx {
namespace {

// x with an axis of size 1 before the last: 1-d data as a plane.
Tensor as_plane(const Tensor& x) { return unsqueeze(x, -2); }

Conv2dOptions options_of(const SpatialWindows& w, size_t first, int64_t groups) {
  Conv2dOptions o;
  o.groups = groups;
  const bool line = w.kernel.size() - first == 1;
  o.stride = line ? Ints{1} : Ints{};
  o.dilation = o.stride;
  o.padding = line ? Ints{0, 0} : Ints{};
  for (size_t d = first; d < w.kernel.size(); ++d) {
    o.stride.push_back(w.stride[d]);
    o.dilation.push_back(w.dilation[d]);
    o.padding.insert(o.padding.end(), {w.low[d], w.high[d]});
  }
  return o;
}

// x [N, C, D, H, W]: one 2-d convolution of all slices for each place of the kernel along D, summed.
Tensor convolve_volumes(const Tensor& given, const Tensor& weight, const SpatialWindows& w, int64_t groups) {
  const Tensor x = pad(given, {0, 0, w.low[0], 0, 0}, {0, 0, w.high[0], 0, 0});
  const Dim reach = w.dilation[0] * (w.kernel[0] - 1) + 1;
  const Dim depth = floor_div(x.dim(2) - reach, w.stride[0]) + Dim(1);
  const Conv2dOptions options = options_of(w, 1, groups);
  Tensor y;
  for (int64_t k = 0; k < w.kernel[0]; ++k) {
    const Dim first = k * w.dilation[0];
    const Tensor slices =
        slice(x, 2, first, first + (depth - Dim(1)) * Dim(w.stride[0]) + Dim(1), w.stride[0]);
    const Tensor planes =
        reshape(permute(slices, {0, 2, 1, 3, 4}), {x.dim(0) * depth, x.dim(1), x.dim(3), x.dim(4)});
    const Tensor part = conv2d(planes, select_index(weight, 2, k), {}, options);
    y = y.defined() ? y + part : part;
  }
  return permute(reshape(y, {x.dim(0), depth, y.dim(1), y.dim(2), y.dim(3)}), {0, 2, 1, 3, 4});
}

Tensor with_bias(const Tensor& y, const Tensor& bias) {
  if (!bias.defined()) return y;
  Shape shape(static_cast<size_t>(y.rank()) - 1, Dim(1));
  shape[0] = bias.dim(0);
  return y + reshape(bias, shape);
}

Ints kernel_of(Context& c, const Tensor& x, const Tensor& weight) {
  if (weight.rank() != x.rank() || x.rank() < 3 || x.rank() > 5)
    c.unsupported("an operand of rank " + std::to_string(x.rank()) + " and a weight of rank " +
                  std::to_string(weight.rank()));
  Ints kernel;
  for (int64_t d = 2; d < weight.rank(); ++d) {
    if (!weight.dim(d).is_const()) c.unsupported("the weight has the size " + weight.dim(d).str());
    kernel.push_back(weight.dim(d).value());
  }
  const Ints given = c.ints("kernel_shape", kernel);
  if (given != kernel) c.invalid("kernel_shape is not that of the weight " + to_string(weight.shape()));
  return kernel;
}

// Paddings from output_shape or auto_pad: what the result is cropped by, or by how much it grows behind.
void choose_padding(Context& c, const Tensor& x, Ints& extra, SpatialWindows& w) {
  const Ints wanted = c.ints("output_shape");
  const std::string automatic = c.text("auto_pad", "NOTSET");
  const bool same = automatic == "SAME_UPPER" || automatic == "SAME_LOWER";
  if (wanted.empty() && !same) return;
  const size_t axes = w.kernel.size();
  if (!wanted.empty() && wanted.size() != axes) check_count(c, "output_shape", wanted.size(), w.rank());
  for (size_t d = 0; d < axes; ++d) {
    const Dim n = x.dim(2 + static_cast<int64_t>(d));
    const int64_t reach = w.dilation[d] * (w.kernel[d] - 1) + 1;
    const Dim target = wanted.empty() ? n * Dim(w.stride[d]) : Dim(at_least(c, "output_shape", wanted[d], 1));
    const Dim rest = (n - Dim(1)) * Dim(w.stride[d]) + Dim(extra[d] + reach) - target;
    if (!rest.is_const()) c.unsupported("output_shape needs known sizes, one is " + n.str());
    const int64_t total = std::max<int64_t>(0, rest.value()), half = total / 2;
    extra[d] += total - rest.value();
    w.low[d] = automatic == "SAME_UPPER" ? half : total - half;
    w.high[d] = total - w.low[d];
  }
}

// The kernel turned round in all its axes, its channels exchanged within each group: what a transposed
// convolution slides over x spread out.
Tensor mirrored_weight(const Tensor& weight, int64_t groups) {
  const Tensor turned = flip(weight, axis_range(2, weight.rank()));
  Shape apart = weight.shape(), back = weight.shape();
  apart[0] = floor_div(apart[0], groups);
  apart.insert(apart.begin(), Dim(groups));
  back[0] = weight.dim(1) * Dim(groups);
  back[1] = floor_div(weight.dim(0), groups);
  return reshape(transpose(reshape(turned, apart), 1, 2), back);
}

Tensor transposed(Context& c) {
  const Tensor x = c.in(0), weight = c.in(1), bias = c.optional(2);
  SpatialWindows w = spatial_windows(c, x, kernel_of(c, x, weight));
  const int64_t groups = c.integer("group", 1);
  if (groups < 1) c.invalid("group is " + std::to_string(groups));
  Ints extra = c.ints("output_padding", Ints(w.kernel.size(), 0));
  check_count(c, "output_padding", extra.size(), w.rank());
  for (int64_t v : extra) at_least(c, "output_padding", v, 0);
  choose_padding(c, x, extra, w);
  if (w.rank() == 2) return conv_transpose2d(x, weight, bias, options_of(w, 0, groups), extra);
  if (w.rank() == 1) {
    const Tensor y =
        conv_transpose2d(as_plane(x), as_plane(weight), bias, options_of(w, 0, groups), {0, extra[0]});
    return squeeze(y, {-2});
  }
  // stride - 1 zeros between the elements of x, and the mirrored kernel slides over all places it reaches.
  Shape low{0, 0}, high{0, 0};
  Ints interior{0, 0};
  for (size_t d = 0; d < 3; ++d) {
    const int64_t reach = w.dilation[d] * (w.kernel[d] - 1) + 1;
    low.push_back(reach - 1 - w.low[d]);
    high.push_back(reach - 1 - w.high[d] + extra[d]);
    interior.push_back(w.stride[d] - 1);
  }
  SpatialWindows plain = w;
  plain.stride = {1, 1, 1};
  plain.low = plain.high = {0, 0, 0};
  return with_bias(
      convolve_volumes(pad(x, low, high, interior), mirrored_weight(weight, groups), plain, groups), bias);
}

}  // namespace

Tensor convolution(Context& c, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const SpatialWindows w = spatial_windows(c, x, kernel_of(c, x, weight));
  const int64_t groups = c.integer("group", 1);
  if (w.rank() == 2) return conv2d(x, weight, bias, options_of(w, 0, groups));
  if (w.rank() == 1)
    return squeeze(conv2d(as_plane(x), as_plane(weight), bias, options_of(w, 0, groups)), {-2});
  return with_bias(convolve_volumes(x, weight, w, groups), bias);
}

FOVEA_ONNX(Conv) { return {convolution(c, c.in(0), c.in(1), c.optional(2))}; }
FOVEA_ONNX(ConvTranspose) { return {transposed(c)}; }

}  // namespace fovea::onnx
