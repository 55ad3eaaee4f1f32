#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Rows of weight [V, D] at ids (i32 or i64, any shape): [..., D]. An id outside [0, V) is an error. The row
/// `padding_idx`, if there is one, gets no gradient.
Tensor embedding(const Arg& weight, const Tensor& ids, int64_t padding_idx = -1);

}  // namespace fovea
