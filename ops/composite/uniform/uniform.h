#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Uniform in [low, high), f32, from 24 random bits an element. `key` as in rand_bits; without an ordinal the
/// call draws a stream of its own.
Tensor uniform(const Arg& key, Shape shape, double low = 0, double high = 1, int64_t ordinal = -1);

}  // namespace fovea
