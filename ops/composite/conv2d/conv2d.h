#pragma once

#include <vector>

#include "graph/build/tensor.h"

namespace fovea {

/// How a convolution moves. Lists hold one number for all axes, or one an axis; padding may also hold two an
/// axis: {h low, h high, w low, w high}.
struct Conv2dOptions {
  std::vector<int64_t> stride{1}, padding{0}, dilation{1};
  int64_t groups = 1;  ///< channels are cut into so many groups that do not mix
};

/// y[n, o, a, b] = bias[o] + sum_cij weight[o, c, i, j] x[n, c, a stride + i dilation - low, b stride + j
/// dilation - low] for x [N, C, H, W], weight [O, C / groups, kh, kw], bias [O] (may be undefined) -> [N, O,
/// H', W'] with H' = floor((H + low + high - dilation (kh - 1) - 1) / stride) + 1. N, H and W may be symbols.
Tensor conv2d(const Arg& x, const Tensor& weight, const Tensor& bias = {}, const Conv2dOptions& options = {});

/// The same over one axis: x [N, C, L], weight [O, C / groups, k] -> [N, O, L']. Padding may be {low, high}.
Tensor conv1d(const Arg& x, const Tensor& weight, const Tensor& bias = {}, const Conv2dOptions& options = {});

}  // namespace fovea
