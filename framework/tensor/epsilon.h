// How fine the floating element types are.
#pragma once

#include "framework/tensor/dtype.h"

namespace fovea {

/// The distance from 1 to the next number of the type; 0 for types that are not floating.
constexpr double epsilon(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return 0x1p-52;
    case DType::f32:
      return 0x1p-23;
    case DType::f16:
      return 0x1p-10;
    case DType::bf16:
      return 0x1p-7;
    default:
      return 0;
  }
}

}  // namespace fovea
