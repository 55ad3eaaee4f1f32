// --memory-budget, for the verbs that make plans.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>

#include "frontends/tools/checks.h"

namespace fovea::tools {

/// In MiB: a fraction of one is a fair budget for a small model.
inline void add_memory_budget(CLI::App& cmd, double& mib) {
  cmd.add_option("--memory-budget", mib,
                 "MiB for the values between arguments and results; what does not fit is computed again")
      ->check(positive())
      ->check(CLI::Range(0.0, 1e9).description(""));
}

/// As CompileOptions::memory_budget takes it.
inline int64_t budget_bytes(double mib) {
  return mib > 0 ? std::max<int64_t>(1, static_cast<int64_t>(mib * (1 << 20))) : 0;
}

}  // namespace fovea::tools
