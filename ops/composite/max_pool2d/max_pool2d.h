#pragma once

#include <vector>

#include "graph/build/tensor.h"

namespace fovea {

/// How a pooling window moves. Lists hold one number for both axes, or {h, w}; padding may also be
/// {h low, h high, w low, w high}.
struct MaxPool2dOptions {
  std::vector<int64_t> stride;  ///< empty: the kernel's size
  std::vector<int64_t> padding{0}, dilation{1};
  /// The number of windows is rounded up; each begins in the input or the padding before it.
  bool ceil_mode = false;
};

/// The largest element of each window of x [N, C, H, W]; padding never wins, NaN wins over all. -> [N, C, H',
/// W'] with H' = floor((H + low + high - dilation (kh - 1) - 1) / stride) + 1. The gradient goes to the first
/// of equals.
Tensor max_pool2d(const Arg& x, std::vector<int64_t> kernel, const MaxPool2dOptions& options = {});

}  // namespace fovea
