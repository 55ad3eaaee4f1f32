// What a plan under a memory budget computes again, ready to be shown.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "framework/runtime/plan.h"

namespace fovea {

/// Plan::recomputed beside the memory it saves.
struct RecomputeReport {
  int64_t launches = 0;                          ///< that run again
  int64_t flops = 0;                             ///< that they add to every run
  int64_t bytes_before = 0;                      ///< temporaries without a budget
  int64_t bytes_after = 0;                       ///< temporaries of this plan
  std::vector<std::pair<std::string, int>> ops;  ///< what runs again, the most frequent first

  double flops_per_byte() const;  ///< added FLOPs for each byte saved; 0 where none is saved
};

/// What `plan` computes again.
RecomputeReport recompute_report(const Plan& plan);

/// "recomputed: 12 launches run again (8 layer_norm, 4 gelu), ..."; "" where nothing is computed again.
std::string recompute_text(const RecomputeReport& report);
/// A JSON object with the same figures.
std::string recompute_json(const RecomputeReport& report);

}  // namespace fovea
