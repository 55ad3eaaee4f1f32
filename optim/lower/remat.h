// Computing values again instead of keeping them, so that a plan fits into a given number of bytes.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace fovea {

/// A value that takes memory while it lives: from the step that writes it to the last that reads it.
struct RematValue {
  int64_t bytes = 0;
  bool kept = false;    ///< lives to the end and is never computed again
  int32_t origin = -1;  ///< of a value computed again: which one it equals
};

/// What is known of a launch, however often it runs.
struct RematLaunch {
  int64_t workspace = 0, flops = 0;
  double seconds = 0;  ///< about
  bool repeatable = false;
  std::vector<std::pair<int32_t, int32_t>>
      in_place;  ///< (write, read): may take over the memory of a last read
};

/// One run of a launch. Operands that take no memory of the plan are -1.
struct RematStep {
  int32_t launch = -1;
  std::vector<int32_t> reads, writes;
};

struct RematSchedule {
  std::vector<RematValue> values;
  std::vector<RematLaunch> launches;
  std::vector<RematStep> steps;
};

/// The largest number of bytes alive at a step.
int64_t peak_of(const RematSchedule& schedule);

/// Adds steps that compute values again, those first that free the most bytes for their time, until the peak
/// is at most `budget` or nothing more can be won. Returns the peak.
int64_t fit_into(RematSchedule& schedule, int64_t budget);

}  // namespace fovea
