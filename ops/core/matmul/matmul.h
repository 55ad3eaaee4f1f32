#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Matrix product: a [..., m, k], b [..., k, n] -> [..., m, n], the leading axes broadcast as in NumPy. A
/// rank-1 `a` is a row, a rank-1 `b` a column, and that axis is left out of the result. f16 and bf16
/// accumulate in f32.
Tensor matmul(const Arg& a, const Arg& b);
/// NumPy's name for the product of two vectors.
Tensor dot(const Arg& a, const Arg& b);
/// y[i, j] = a[i] * b[j]
Tensor outer(const Arg& a, const Arg& b);

}  // namespace fovea
