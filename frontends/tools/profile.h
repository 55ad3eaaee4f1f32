// Times of single kernels.
#pragma once

#include <functional>
#include <string>

namespace fovea::tools {

/// Runs `step` with every launch timed; writes a trace in the Chrome format (Perfetto opens it) to `path` and
/// prints the ten heaviest kernels to stderr.
void write_profile(const std::string& path, const std::function<void()>& step);

}  // namespace fovea::tools
