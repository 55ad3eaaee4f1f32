// What optimiser update ops share.
#pragma once

#include "framework/backend/kernel.h"
#include "graph/build/tensor.h"
#include "graph/ir/op.h"
#include "ops/shared/blocks.h"

namespace fovea {

/// Operand i is a scalar.
void check_scalar(const InferContext& c, size_t i);
/// Operand i has param's (operand 0's) shape and type.
void check_state(InferContext& c, size_t i);

/// The conditions of kernels that sweep over a parameter (operand 0) and its gradient (operand 1).
Kernel& sweep_conditions(Kernel& kernel);

/// The only element of operand i of a launch, of any numeric type.
double scalar_value(DType dtype, const void* p);

/// Elements of one sweep cut into blocks.
inline Blocks update_blocks(int64_t n) { return Blocks(n, 16384, 1024); }

/// out = in over elements [begin, end), unless they are the same memory.
void copy_range(const void* in, void* out, int64_t begin, int64_t end, int64_t bytes);

}  // namespace fovea
