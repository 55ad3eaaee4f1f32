#pragma once

#include <string>

#include "graph/build/tensor.h"

namespace fovea {

/// `x`, printed to the standard error stream under `label` each time it is computed, inside compiled code
/// too.
Tensor debug_print(const Arg& x, std::string label = "");

}  // namespace fovea
