#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// true with probability p (0 to 1), bool. `key` as in rand_bits; without an ordinal the call draws a stream
/// of its own.
Tensor bernoulli(const Arg& key, Shape shape, double p, int64_t ordinal = -1);

}  // namespace fovea
