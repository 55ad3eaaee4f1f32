// What one launch of a plan asks of the machine.
#pragma once

#include <cstdint>

#include "framework/backend/prepared.h"

namespace fovea::tools {

/// Work and traffic of one launch.
struct StepCost {
  int64_t flops = 0;
  int64_t bytes = 0;  ///< operands read and results written once each
};
StepCost cost_of(const KernelRequest& request);

/// The best that a machine with these figures could do, in seconds: the longer of computing and moving.
double least_seconds(const StepCost& cost, double peak_gflops, double read_gbs);

}  // namespace fovea::tools
