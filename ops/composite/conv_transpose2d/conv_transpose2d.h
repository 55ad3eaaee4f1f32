#pragma once

#include <vector>

#include "ops/composite/conv2d/conv2d.h"

namespace fovea {

/// Transposed convolution: the adjoint of conv2d with the same options, and a bias. x [N, O, H, W], weight
/// [O, C / groups, kh, kw], bias [C] (may be undefined) -> [N, C, H', W'] with
/// H' = (H - 1) stride - low - high + dilation (kh - 1) + 1 + output_padding. output_padding (one number, or
/// one an axis) must be smaller than stride or dilation: it chooses among the sizes that conv2d takes to H.
Tensor conv_transpose2d(const Arg& x, const Tensor& weight, const Tensor& bias = {},
                        const Conv2dOptions& options = {}, std::vector<int64_t> output_padding = {0});

}  // namespace fovea
