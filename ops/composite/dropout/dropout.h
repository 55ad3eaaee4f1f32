#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Each element of x is kept with probability 1 - p and multiplied by 1 / (1 - p), or becomes 0 (Srivastava
/// et al. 2014). `key` is i64 [2] as for rand_bits: equal keys drop the same elements. The mask is not
/// stored: the backward pass makes it again. p in [0, 1].
Tensor dropout(const Arg& x, const Tensor& key, double p);
/// The same with a stream of the caller's choice, >= 0.
Tensor dropout(const Arg& x, const Tensor& key, double p, int64_t ordinal);

}  // namespace fovea
