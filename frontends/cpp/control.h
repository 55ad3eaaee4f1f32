// Control flow inside traced functions. Errors name the line of the call, those inside a body their own.
#pragma once

#include <vector>

#include "frontends/cpp/trace.h"

namespace fovea {

/// Runs body(carry, slices) -> (carry, ys) once for each slice of `xs` along their first axis. `carries`: how
/// many tensors of the body's result are carried. Returns the last carries, then the ys stacked along a new
/// first axis. Differentiable. The body may use tensors from outside; they are differentiated, too. `length`
/// is needed where xs is empty.
std::vector<Tensor> scan(const Function& body, const std::vector<Tensor>& carry,
                         const std::vector<Tensor>& xs, Dim length = 0, bool reverse = false,
                         Source source = Source::here());

/// Repeats body(carry) -> carry while condition(carry) -> bool scalar holds. No gradient.
std::vector<Tensor> while_loop(const Function& condition, const Function& body,
                               const std::vector<Tensor>& carry, int64_t max_iterations = int64_t{1} << 40,
                               Source source = Source::here());

/// then(args) or otherwise(args), which must return the same types; chosen when the program runs.
/// Differentiable.
std::vector<Tensor> cond(const Tensor& predicate, const Function& then, const Function& otherwise,
                         const std::vector<Tensor>& args, Source source = Source::here());

}  // namespace fovea
