#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// A tensor of `shape` whose elements are all `value`. The shape may hold symbols inside a trace.
Tensor full(Shape shape, double value, DType dtype = DType::f32, Source source = Source::here());
/// A 0-d tensor.
Tensor scalar(double value, DType dtype = DType::f32, Source source = Source::here());
Tensor zeros(Shape shape, DType dtype = DType::f32, Source source = Source::here());
Tensor ones(Shape shape, DType dtype = DType::f32, Source source = Source::here());
/// Shape and element type of `x`.
Tensor full_like(const Arg& x, double value);
Tensor zeros_like(const Arg& x);
Tensor ones_like(const Arg& x);

}  // namespace fovea
