#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// 32 random bits an element, as i32: Philox4x32-10 with a counter (Salmon et al. 2011). `key` is i64 [2]:
/// the user's key and a step that counts runs; equal keys give equal bits on any device. Each call in a graph
/// draws a stream of its own: the call's ordinal is kept as an attribute.
Tensor rand_bits(const Arg& key, Shape shape);
/// The same with a stream of the caller's choice, >= 0.
Tensor rand_bits(const Arg& key, Shape shape, int64_t ordinal);

}  // namespace fovea
