#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// a / b, elementwise, with NumPy broadcasting and promotion. True division: two integers divide as f32
/// (floor_div stays with integers).
Tensor div(const Arg& a, const Arg& b);
inline Tensor operator/(const Arg& a, const Arg& b) { return div(a, b); }

}  // namespace fovea
