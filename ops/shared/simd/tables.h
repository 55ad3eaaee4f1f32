// The parts of find_unary that live in files of their own.
#pragma once

#include <limits>
#include <string_view>

#include "ops/shared/simd/pointwise.h"

namespace fovea::simd {

/// exp, log and the other transcendental ops; nullptr when `op` is none of them.
Unary find_unary_math(std::string_view op, DType dtype);

}  // namespace fovea::simd
