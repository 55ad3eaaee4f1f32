// Times of single kernels.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "framework/runtime/plan.h"

namespace fovea::tools {

/// What the machine can do, as measured.
struct MachinePeak {
  double gflops = 0, read_gbs = 0;
};

/// The launches of the fastest of `runs` runs of `step`.
std::vector<LaunchTime> fastest_launches(const std::function<void()>& step, int runs = 3);

/// Writes a trace in the Chrome format (Perfetto opens it): a line a launch with op, kernel, source, shapes,
/// FLOPs and bytes.
void write_trace(const std::string& path, const std::vector<LaunchTime>& launches);

/// The `most` heaviest kernels as a table: time, share, calls, what they reached and how much of the
/// machine's peak that is.
std::string heaviest_table(const std::vector<LaunchTime>& launches, const MachinePeak& peak,
                           size_t most = 10);

}  // namespace fovea::tools
