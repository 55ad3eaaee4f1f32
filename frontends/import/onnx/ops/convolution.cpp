// Convolutions over one, two or three axes, in terms of the 2-d ops.
#include <algorithm>

#include "framework/base/checked.h"
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

// Columns [N, C * k, L], k the elements of a window, added up where the windows lie in an image: a transposed
// convolution whose weights put each element at its place.
Tensor columns_folded(Context& c) {
  const Tensor x = c.in(0);
  Ints image = c.const_ints(1), block = c.const_ints(2);
  const size_t axes = image.size();
  if (x.rank() != 3 || axes == 0 || block.size() != axes)
    c.invalid("columns of rank " + std::to_string(x.rank()) + ", an image of " + std::to_string(axes) +
              " axes and blocks of " + std::to_string(block.size()));
  if (axes > 2) c.unsupported("images of " + std::to_string(axes) + " axes");
  const Ints ones(axes, 1), none(2 * axes, 0);
  Ints stride = c.ints("strides", ones), dilation = c.ints("dilations", ones), pads = c.ints("pads", none);
  check_count(c, "strides", stride.size(), static_cast<int64_t>(axes));
  check_count(c, "dilations", dilation.size(), static_cast<int64_t>(axes));
  check_count(c, "pads", pads.size(), static_cast<int64_t>(2 * axes));
  if (axes == 1) {
    for (Ints* list : {&image, &block, &stride, &dilation}) list->insert(list->begin(), 1);
    pads = {0, pads[0], 0, pads[1]};
  }
  int64_t windows = 1, counts[2], k = 1, left[2];
  for (size_t d = 0; d < 2; ++d) {
    k = checked_mul(k, at_least(c, "block_shape", block[d], 1));
    at_least(c, "strides", stride[d], 1), at_least(c, "dilations", dilation[d], 1);
    at_least(c, "pads", pads[d], 0), at_least(c, "pads", pads[d + 2], 0);
    const int64_t room =
        at_least(c, "image_shape", image[d], 1) + pads[d] + pads[d + 2] - dilation[d] * (block[d] - 1) - 1;
    if (room < 0) c.invalid("a block leaves the image");
    counts[d] = room / stride[d] + 1;
    left[d] = room % stride[d];
    windows = checked_mul(windows, counts[d]);
  }
  if (k > 4096) c.unsupported("blocks of " + std::to_string(k) + " elements");
  if (x.dim(2) != Dim(windows))
    c.invalid("it has " + x.dim(2).str() + " columns, the image has " + std::to_string(windows) + " windows");
  const Tensor place =
      reshape(cast(equal(iota({k, 1}, 0), iota({1, k}, 1)), x.dtype()), {k, 1, block[0], block[1]});
  // Each channel of each image is an image of its own: the weights are the same for all.
  const Tensor columns = reshape(x, {-1, k, counts[0], counts[1]});
  Conv2dOptions options{stride, {pads[0], pads[2], pads[1], pads[3]}, dilation, 1};
  const Tensor y = conv_transpose2d(columns, place, {}, options, {left[0], left[1]});
  const Dim channels = floor_div(x.dim(1), k);
  return axes == 1 ? reshape(y, {x.dim(0), channels, image[1]})
                   : reshape(y, {x.dim(0), channels, image[0], image[1]});
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

FOVEA_ONNX(Col2Im) { return {columns_folded(c)}; }

}  // namespace fovea::onnx
