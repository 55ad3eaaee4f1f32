#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Normal with this mean and standard deviation, f32, by the method of Box and Muller (1958). `key` as in
/// rand_bits; without an ordinal the call draws a stream of its own.
Tensor normal(const Arg& key, Shape shape, double mean = 0, double deviation = 1, int64_t ordinal = -1);

}  // namespace fovea
