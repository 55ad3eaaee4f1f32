#pragma once

#include <string>

#include "frontends/models/workloads.h"

namespace fovea::tools {

/// Writes a safetensors file for comparing a workload with another framework: "input.N", "label",
/// "param/NAME", then "loss", "grad/NAME" of the first step and "after/NAME", the parameters after three
/// steps on the same batch. Nothing is dropped out. `rows`: only the batch's first so many (0: all).
void dump_step(const models::Workload& workload, uint64_t batch_seed, int64_t rows, const std::string& path);

}  // namespace fovea::tools
