// What the fuzzer tries: a module, arguments, and how closely its results must agree.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "frontends/tools/fuzz/random.h"
#include "graph/ir/graph.h"

namespace fovea::tools {

struct FuzzCase {
  std::shared_ptr<Module> module;  ///< function "main"; with `gradients` also "gradients"
  std::vector<Array> arguments;    ///< of main; for "gradients" the cotangents follow
  Bindings sizes;                  ///< of symbols in the shapes of arguments
  bool gradients = false;
  bool exact = true;       ///< whole numbers, exact in any order: results must be equal
  double tolerance = 0;    ///< of exact cases, for what is not: times the largest number of a result
  bool special = false;    ///< arguments hold NaN, infinities and -0: only rules that keep every bit may run
  bool attention = false;  ///< one attention form, which must be fused
};

/// A random typed graph.
FuzzCase random_graph(Random& random);

/// A random spelling of attention. `preserved`: then rewritten in ways that keep its meaning (it must be
/// fused); otherwise in ways that change it (it may be).
FuzzCase random_attention(Random& random, bool preserved);

/// Adds the function "gradients": main's results and its gradients for all floating arguments, given a
/// cotangent for each floating result; false where main has none of either.
bool add_gradients(FuzzCase& fuzz, Random& random);

/// Random numbers of a type: whole ones from -3 to 3, or real ones.
Array random_array(Random& random, DType dtype, const Dims& shape, bool whole);

}  // namespace fovea::tools
