// Positions that are known while the model is read and form a grid: what assigning to slices, to whole axes
// and to lists of rows comes down to. Writing to them is a choice between two tensors, which later stages see
// through; rows that go anywhere hide it.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "graph/build/tensor.h"

namespace fovea::onnx {

/// Whole numbers that change along one axis of their tensor alone.
struct Line {
  int64_t axis = -1;            ///< of the tensor; -1: one number everywhere
  Dim count = 1;                ///< how many there are
  int64_t first = 0;            ///< first, first + 1, ... where `values` is empty
  std::vector<int64_t> values;  ///< any others
};

/// `x`, integers of a constant, a count or what Expand, Reshape, Add and Mul make of them, as a line.
std::optional<Line> line_of(const Tensor& x);

/// Index vectors [..., K] as K lines of the axes before the last.
std::optional<std::vector<Line>> grid_of(const Tensor& vectors);

/// `x` with `updates`, of as many elements as the grid of `lines` (one for each of the first axes) has,
/// put ("none") or added ("add") there; nothing where the positions repeat, leave x or are not told apart.
std::optional<Tensor> put_on_grid(const Tensor& x, const Tensor& updates, std::vector<Line> lines,
                                  std::string_view reduction);

}  // namespace fovea::onnx
