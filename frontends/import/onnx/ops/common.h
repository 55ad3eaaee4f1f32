// What several converters share.
#pragma once

#include "frontends/import/onnx/convert.h"
#include "generated/ops.h"
#include "graph/ir/op.h"

namespace fovea::onnx {

/// `x` in f32 where it is a half type: functions of several steps would lose digits otherwise.
Tensor widened(const Tensor& x);

/// An error where a list ("strides", "axes") has not as many numbers as wanted.
void check_count(const Context& c, std::string_view what, size_t got, int64_t want);

/// `value`, a number of list `name`; an error where it is below `least` or not below 2^31.
int64_t at_least(const Context& c, std::string_view name, int64_t value, int64_t least);

/// Positions along an axis of `size`, of which negative ones count from the end (`signed_positions`), as i32
/// or i64: operand i.
Tensor positions(Context& c, size_t i, const Dim& size, bool signed_positions = true);

/// `shape` with `axis` replaced by `size`.
Shape with_size(Shape shape, int64_t axis, const Dim& size);

/// The axes first, first + 1, ..., last - 1.
Ints axis_range(int64_t first, int64_t last);

/// `x` with axis d of the result being axis order[d]; `x` itself where they stand in order.
Tensor in_order(const Tensor& x, const Ints& order);

/// How convolution and pooling windows move over the axes behind the first two; one number an axis.
struct SpatialWindows {
  Ints kernel, stride, dilation, low, high;
  bool ceil = false;

  int64_t rank() const { return static_cast<int64_t>(kernel.size()); }
};

/// Reads strides, dilations, pads, auto_pad and ceil_mode for operand `x` [N, C, ...] and this kernel.
SpatialWindows spatial_windows(Context& c, const Tensor& x, const Ints& kernel);

/// The convolution that a Conv node's attributes describe. `bias` may be undefined.
Tensor convolution(Context& c, const Tensor& x, const Tensor& weight, const Tensor& bias);

}  // namespace fovea::onnx
