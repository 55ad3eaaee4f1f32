#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// y[i_0, ..., i_k, ...] = i_axis: counts from 0 along `axis` of a tensor of `shape`.
Tensor iota(Shape shape, int64_t axis = 0, DType dtype = DType::i64, Source source = Source::here());
/// 0, 1, ..., n - 1
Tensor arange(Dim n, DType dtype = DType::i64, Source source = Source::here());

}  // namespace fovea
