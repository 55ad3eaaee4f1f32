// What pointwise ops share: promotion of operands, and CPU kernels on top of the vector loops in
// ops/shared/simd.
#pragma once

#include <utility>

#include "framework/backend/kernel.h"
#include "graph/build/tensor.h"
#include "ops/shared/reference.h"

namespace fovea {

/// Both operands in their common type, as apply_binary promotes them: numbers take the tensor's type, an
/// integer or bool tensor beside a fractional number becomes f32, two numbers become f32.
std::pair<Tensor, Tensor> promoted(const Arg& a, const Arg& b);

/// `x` as bools: unequal to zero (NaN is true).
Tensor to_boolean(const Arg& x);

// CPU kernels by the name of the op. All take strided and broadcast operands: an innermost run that is
// contiguous or one repeated element is used where it lies, anything else is gathered tile by tile.
void simd_unary(Kernel& kernel);    ///< result of the operand's type; may run in place
void simd_test(Kernel& kernel);     ///< bool result of one operand
void simd_binary(Kernel& kernel);   ///< result of the operands' type; may run in place
void simd_compare(Kernel& kernel);  ///< bool result of two operands
void simd_logical(Kernel& kernel);  ///< bools to bool; may run in place
void simd_select(Kernel& kernel);   ///< cond ? a : b
void simd_cast(Kernel& kernel);

}  // namespace fovea
