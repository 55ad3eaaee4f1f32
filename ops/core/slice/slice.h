#pragma once

#include <vector>

#include "graph/build/tensor.h"

namespace fovea {

/// x[start:stop:step] along one axis, with Python's rules: negative numbers count from the end, numbers
/// beyond the ends are clipped where the size is known, step may be negative.
Tensor slice(const Arg& x, int64_t axis, Dim start, Dim stop, int64_t step = 1);
/// The op itself: one start, stop and step an axis, counted from the beginning. Element i of an axis of the
/// result is element start + i * step; a negative step goes down to stop + 1, so stop may be -1.
Tensor strided_slice(const Arg& x, Shape starts, Shape stops, std::vector<int64_t> steps);
/// Element `index` along `axis`, without that axis.
Tensor select_index(const Arg& x, int64_t axis, Dim index);
/// Pieces of `sizes` along an axis; the sizes must add up to it.
std::vector<Tensor> split(const Arg& x, Shape sizes, int64_t axis = 0);
/// `count` equal pieces along an axis.
std::vector<Tensor> chunk(const Arg& x, int64_t count, int64_t axis = 0);
/// The slices along an axis, without it. Its size must be known.
std::vector<Tensor> unbind(const Arg& x, int64_t axis = 0);
/// The order of elements along the axes reversed.
Tensor flip(const Arg& x, std::vector<int64_t> axes);

}  // namespace fovea
