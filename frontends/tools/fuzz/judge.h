// Runs a case untouched and optimised, and compares.
#pragma once

#include <string>

#include "frontends/tools/fuzz/cases.h"

namespace fovea::tools {

/// Runs the case untouched on the reference backend, with all passes there and on the CPU, and with one pass
/// at a time. Empty where all agree, else what differs from what, with the graph as text. `pass`: only that
/// one.
std::string judge_graph(const FuzzCase& fuzz);

/// Runs the case untouched in f64 and compiled in f32, and holds the result to the contract on numerics: an
/// error at most twice that of the untouched operations in f32, plus four units in the last place of the
/// tensor's largest value. Fused or not is checked too where the case says it must be.
std::string judge_attention(const FuzzCase& fuzz);

}  // namespace fovea::tools
