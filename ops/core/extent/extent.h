#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// The product of `sizes` as a 0-d tensor: how a size that may be a symbol becomes a number to compute with.
Tensor extent(Shape sizes, DType dtype = DType::i64, Source source = Source::here());
inline Tensor extent(Dim size, DType dtype = DType::i64, Source source = Source::here()) {
  return extent(Shape{std::move(size)}, dtype, source);
}

}  // namespace fovea
