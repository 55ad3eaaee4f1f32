// Windows that move over the last two axes of [N, C, H, W]: what convolutions and pooling share.
#pragma once

#include "graph/build/tensor.h"
#include "graph/ir/op.h"

namespace fovea {

/// How a window moves, for axis H (0) and W (1). The element (i, j) of the window at place (a, b) is the
/// input's (a * stride + i * dilation - low, ...).
struct Windows {
  int64_t kernel[2] = {1, 1}, stride[2] = {1, 1}, dilation[2] = {1, 1}, low[2] = {}, high[2] = {};
  bool ceil = false;  ///< a last window may reach beyond the padding, if it begins in the input or the
                      ///< padding before it

  /// Elements from the first to the last of the window.
  int64_t reach(int axis) const { return dilation[axis] * (kernel[axis] - 1) + 1; }
  int64_t taps() const { return kernel[0] * kernel[1]; }
  bool padded() const { return low[0] != 0 || low[1] != 0 || high[0] != 0 || high[1] != 0; }
  /// How many windows an axis of `size` has: floor((size + low + high - reach) / stride) + 1, or rounded up.
  /// InvalidArgument beginning with `op` where the window does not fit.
  Dim count(std::string_view op, int axis, const Dim& size) const;
  /// How many elements behind the input the last window takes; negative where some of the input is left over.
  Dim behind(int axis, const Dim& size, const Dim& count) const;
};

/// Declares the attributes stride, padding and dilation.
OpDecl& declare_windows(OpDecl& op);
/// One number an axis from a list of 1 or 2.
Ints both_axes(InferContext& c, std::string_view name);
/// Brings the attributes into the form stride {h, w}, padding {h low, h high, w low, w high}, dilation {h, w}
/// and checks them.
void infer_windows(InferContext& c);
/// The windows of a node with normal attributes.
Windows windows_of(const Attrs& attrs, int64_t kernel_h, int64_t kernel_w);

/// Declares these and the attribute kernel, which poolings have.
OpDecl& declare_pooling(OpDecl& op);
/// The windows of a pooling node with normal attributes.
Windows pooling_windows(const Attrs& attrs);
/// Checks operand i as the input of a pooling and brings the attributes into normal form; the type of the
/// result.
TensorType infer_pooled(InferContext& c, size_t i);

/// The elements (i, j) of all windows, for each (i, j) in row-major order: tensors [N, C, rows, columns].
/// `value` is what the padding holds.
std::vector<Tensor> window_taps(const Tensor& x, const Windows& w, const Dim& rows, const Dim& columns,
                                double value);
/// The adjoint of window_taps with padding of 0: piece (i, j) put back to where it was taken from in [N, C,
/// height, width], all of them summed.
Tensor scatter_taps(const std::vector<Tensor>& pieces, const Windows& w, const Dim& height, const Dim& width);

}  // namespace fovea
