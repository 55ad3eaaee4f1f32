// What recurrent cells share.
#pragma once

#include "graph/build/tensor.h"
#include "graph/ir/op.h"

namespace fovea {

/// Operand i has the type of operand `state`, and its shape with a last axis `parts` times as long.
void check_gates(InferContext& c, size_t i, size_t state, int64_t parts);
/// Part `index` of gates whose last axis holds parts of `width`.
Tensor gate(const Tensor& gates, int64_t index, const Dim& width);
/// weight is [parts H, D] for x [..., D] (operands by position), and bias, where given, [parts H].
void check_cell_weight(InferContext& c, size_t x, size_t weight, size_t state, int64_t parts);
void check_cell_bias(InferContext& c, size_t bias, size_t state, int64_t parts);

}  // namespace fovea
