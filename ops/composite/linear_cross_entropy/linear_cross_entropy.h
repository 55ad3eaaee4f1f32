#pragma once

#include "graph/build/tensor.h"
#include "ops/composite/cross_entropy/cross_entropy.h"

namespace fovea {

/// cross_entropy(linear(x, weight, bias), labels): x [..., D], weight [V, D], labels [...], bias [V] or none.
/// The logits [..., V] never exist as a whole: loss and gradients are computed a chunk of rows at a time.
Tensor linear_cross_entropy(const Arg& x, const Tensor& weight, const Tensor& labels, const Tensor& bias = {},
                            const CrossEntropyOptions& options = {});

}  // namespace fovea
