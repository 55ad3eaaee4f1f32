// What a score program says in closed form: which keys a row reads, and scores that are linear in s.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "ops/shared/tile/program.h"

namespace fovea::attend {

/// A bound of the keys j that row i reads: j < edge (upper) or j >= edge, with
/// edge = query * i + constant + leaf_factor * (value of operand `leaf`, one a batch position; -1: none).
struct KeyBound {
  bool upper = true;
  int64_t query = 0, constant = 0;
  int64_t leaf = -1, leaf_factor = 0;
};

/// slope * (key * j + query * i + constant), the distance a whole number that f32 holds.
struct ScoreLine {
  bool found = false;
  int64_t key = 0, query = 0, constant = 0;
  int64_t leaf = -1;  ///< operand of the slope, one a batch position; -1: `slope` alone
  double slope = 1;   ///< 1 or -1 beside a leaf
};

/// score = every bound holds ? inner : fill.
struct ScoreForm {
  std::vector<KeyBound> bounds;
  double fill = -std::numeric_limits<double>::infinity();  ///< the largest, where there are several
  int32_t inner = -1;                                      ///< value of the program
  /// inner = scale * s + bias, the bias an operand (-1: none) or a line.
  bool linear = false;
  double scale = 1;
  int64_t bias = -1;
  ScoreLine line;
};

/// `per_batch(operand)`: the leaf has one value for all queries and keys.
ScoreForm analyse(const tiles::Program& program, int64_t rank, const std::function<bool(int64_t)>& per_batch);

/// factor = random bits < threshold ? below : above: dropout.
struct DropoutForm {
  bool found = false;
  int64_t stream = 0, key = 0;  ///< key: the operand
  int32_t threshold = 0;
  double below = 0, above = 0;
};
DropoutForm find_dropout(const tiles::Program& program);

}  // namespace fovea::attend
