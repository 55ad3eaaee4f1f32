#pragma once

#include <vector>

#include "graph/build/tensor.h"

namespace fovea {

/// How a pooling window moves; lists as in MaxPool2dOptions.
struct AvgPool2dOptions {
  std::vector<int64_t> stride;  ///< empty: the kernel's size
  std::vector<int64_t> padding{0};
  /// Padding counts as zeros; otherwise the mean is over the elements of x alone.
  bool count_include_pad = true;
};

/// The mean of each window of x [N, C, H, W] -> [N, C, H', W'] with H' = floor((H + low + high - kh) /
/// stride) + 1.
Tensor avg_pool2d(const Arg& x, std::vector<int64_t> kernel, const AvgPool2dOptions& options = {});

/// The means over rows x columns equal parts of the plane: x [N, C, H, W] -> [N, C, rows, columns]. rows must
/// divide H, columns W.
Tensor adaptive_avg_pool2d(const Arg& x, int64_t rows, int64_t columns);

/// The mean over all but the first two axes: x [N, C, ...] -> [N, C].
Tensor global_avg_pool(const Arg& x);

}  // namespace fovea
