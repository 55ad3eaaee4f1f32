#pragma once

#include <vector>

#include "graph/build/tensor.h"

namespace fovea {

/// The square root of the sum of squares of all elements of all tensors, as a scalar: f64 if the first is
/// f64, else f32.
Tensor global_norm(const std::vector<Tensor>& tensors, Source source = Source::here());

}  // namespace fovea
