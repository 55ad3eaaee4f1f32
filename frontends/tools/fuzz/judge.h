// Runs a case untouched and optimised, and compares.
#pragma once

#include <string>

#include "frontends/tools/fuzz/cases.h"

namespace fovea::tools {

/// What came of a case.
struct Judgement {
  std::string problem;    ///< empty where all agree, else what differs from what, with the graph as text
  bool failed = false;    ///< the operations failed when they ran, untouched and optimised alike
  bool fused = false;     ///< there was an attention node
  int64_t results = 0;    ///< tensors compared
  int64_t too_large = 0;  ///< tensors with numbers too large to be whole, not compared
};

/// Runs the case untouched on the reference backend, with all passes there and on the CPU, and with one pass
/// at a time: the results must be equal.
Judgement judge_graph(const FuzzCase& fuzz);

/// Runs the case untouched in f64 and compiled in f32, and holds the result to the contract on numerics: an
/// error at most twice that of the untouched operations in f32, plus four units in the last place of the
/// tensor's largest value. Where the case says that it must be fused, that is checked too.
Judgement judge_attention(const FuzzCase& fuzz);

}  // namespace fovea::tools
