// The lower and the upper triangle of matrices.
#pragma once

#include "graph/build/tensor.h"
#include "graph/ir/op.h"

namespace fovea {

/// Declares an op that keeps the elements for which `inside` (row + diagonal, column) holds; zeros elsewhere.
void declare_triangle(OpDecl& op, Tensor (*inside)(const Arg& row, const Arg& column));

}  // namespace fovea
