#pragma once

#include <string>

#include "graph/build/tensor.h"

namespace fovea {

/// Settings of cross_entropy; the names and defaults are PyTorch's.
struct CrossEntropyOptions {
  double smoothing = 0;            ///< how much of the target is spread evenly over all classes
  int64_t ignore_index = -100;     ///< rows with this label have no loss and no gradient
  std::string reduction = "mean";  ///< mean (over the rows that count), sum or none
};

/// Cross-entropy of softmax(logits [..., V]) against labels [...] (i32 or i64):
/// (1 - smoothing) (-log p[label]) + smoothing / V sum_j (-log p[j]). f32 for half types. A label that is
/// neither ignored nor in [0, V) is an error.
Tensor cross_entropy(const Arg& logits, const Tensor& labels, const CrossEntropyOptions& options = {});

}  // namespace fovea
