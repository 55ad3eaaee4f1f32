// Holds results of compiled attention to the contract on numerics.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "frontends/tools/fuzz/cases.h"

namespace fovea::tools {

/// What a run gave.
struct Outcome {
  std::vector<Array> out;
  std::string error;  ///< empty where it ran
};

/// Runs a function of the module; typed errors become the outcome's.
Outcome run(const std::shared_ptr<Module>& module, const std::string& function, const std::vector<Array>& in,
            const char* backend, bool optimise, bool strict = false);

/// The arguments, numbers of all floating types in f64.
std::vector<Array> widened(const std::vector<Array>& arguments);

/// The contract on numerics for one case: the largest and the root mean square error of each result against
/// the untouched operations in f64 is at most twice that of the untouched operations in their own types, plus
/// four units in the last place of the result's largest value. Results of a handful of numbers are too few
/// for one run to tell the error of the untouched operations: theirs is the largest of several runs, with
/// arguments that differ a little, each held against its own run in f64; and as much as a result in f64
/// changes where the arguments are rounded is no error.
class Contract {
 public:
  Contract(const FuzzCase& fuzz, std::string function, const std::vector<Array>& exact)
      : fuzz_(fuzz), function_(std::move(function)), exact_(exact) {}

  /// How result `i` breaks the contract; empty where it does not.
  std::string broken(const std::vector<Array>& got, size_t i);

 private:
  struct Run {
    std::vector<Array> exact, untouched;
  };
  const Run& sample(size_t n);
  bool lost_noise(const Array& got, size_t i);
  bool mends_results(const std::vector<Array>& got);
  bool overflows();

  const FuzzCase& fuzz_;
  std::string function_;
  const std::vector<Array>& exact_;
  std::deque<Run> samples_;  ///< the first with the case's own arguments
  int overflows_ = -1;       ///< not known yet
};

}  // namespace fovea::tools
