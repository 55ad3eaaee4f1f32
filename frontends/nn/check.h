// Checks of layer sizes, with the figures in the message.
#pragma once

#include <cstdint>
#include <string>

#include "framework/base/error.h"

namespace fovea::nn {

/// The value itself, which must be at least `least`; `what` names it: "Linear: in".
inline int64_t at_least(int64_t least, int64_t value, const std::string& what) {
  if (value < least)
    invalid(what + " is " + std::to_string(value) + ", it must be at least " + std::to_string(least));
  return value;
}

/// A probability in [0, 1).
inline double probability(double p, const std::string& what) {
  if (!(p >= 0 && p < 1)) invalid(what + " is " + std::to_string(p) + ", it must be in [0, 1)");
  return p;
}

}  // namespace fovea::nn
