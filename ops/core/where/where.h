#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// a where cond is true, b elsewhere, with NumPy broadcasting over all three; a and b are promoted to one
/// type. A value that is not chosen has gradient 0, even where it is NaN or infinite.
Tensor where(const Arg& cond, const Arg& a, const Arg& b);

}  // namespace fovea
