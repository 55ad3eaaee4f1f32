// What a dense constant says: positions, causal, banded and block masks, padding, prefixes.
#pragma once

#include <optional>
#include <unordered_map>

#include "optim/attention/expression.h"

namespace fovea::match {

/// The structure of a constant whose values vary along one or two axes, row r and column c (one axis: c).
struct ConstantForm {
  enum class What : uint8_t { dense, affine, mask } what = What::dense;
  // affine: base + r * row_step + c * column_step, or base + distance_step * |c - r|; whole numbers
  double base = 0, row_step = 0, column_step = 0, distance_step = 0;
  // mask: `yes` where
  //   (band and block and c in [column_begin, column_end) and r < row_end) or c < prefix or r < row_prefix
  double yes = 1, no = 0;
  std::optional<int64_t> low, high;  ///< band: low <= c - r <= high
  int64_t period = 1, phase = 0;     ///< band: (c - r) mod period == phase
  bool outside = false;              ///< not in the band
  int64_t block = 0;                 ///< c / block == r / block
  bool block_causal = false;         ///< c / block <= r / block
  int64_t column_begin = 0;
  std::optional<int64_t> column_end, row_end;
  int64_t prefix = 0, row_prefix = 0;
};

/// Finds the structure; looks at every element a few times.
ConstantForm form_of(const Array& array);

/// Forms of a module's constants, each found once.
class ConstantForms {
 public:
  explicit ConstantForms(const Module& module) : module_(module) {}
  const ConstantForm& of(int64_t index);

 private:
  const Module& module_;
  std::unordered_map<int64_t, ConstantForm> known_;
};

/// The constant as an expression over positions, where it has structure.
std::optional<int32_t> express(const ConstantForm& form, Expressions& e, Kind kind, const Shape& shape,
                               const Layout& layout);

}  // namespace fovea::match
