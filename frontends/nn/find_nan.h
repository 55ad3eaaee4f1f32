// Where the first NaN of a computation comes from.
#pragma once

#include <span>
#include <string>

#include "framework/base/source.h"
#include "optim/lower/program.h"

namespace fovea::nn {

/// The first node whose result is not finite.
struct NanReport {
  bool found = false;
  std::string kind;    ///< "NaN" or "infinity"
  std::string op;      ///< "input" where an argument was bad already
  std::string name;    ///< of the input
  std::string scope;   ///< "encoder.0.attention"
  Source source;       ///< the user's line
  int32_t node = -1;   ///< in the program's graph
  int64_t count = 0;   ///< of bad elements
  std::string type;    ///< of the result, "f32[8, 128]"
  std::string inputs;  ///< of the node, with the range of their values

  /// A sentence or three for people.
  std::string str() const;
};

/// Runs the program again on `in` with every node's result kept, unfused on `backend`, and looks for the
/// first NaN; where there is none, for the first infinity that was made from finite numbers. Needs the memory
/// of all results at once.
NanReport find_nan(const Program& program, std::span<const Array> in, const std::string& backend = "cpu");

}  // namespace fovea::nn
