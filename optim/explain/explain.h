// What the compiler made of a program, for people, for tools and for tests.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "framework/runtime/plan.h"
#include "optim/explain/record.h"
#include "optim/lower/program.h"

namespace fovea {

/// What a program does with one candidate: the record, and the launches of a plan that run it.
struct Explanation {
  FusionRecord record;
  const PlanStep* forward = nullptr;   ///< nullptr where it was refused, or without a plan
  const PlanStep* backward = nullptr;  ///< the same, for programs that differentiate
};

/// Every candidate of the program, each with its launches in `plan` (which may be nullptr).
std::vector<Explanation> explanations(const Program& program, const Plan* plan = nullptr);

/// As text: a line that sums up, then a paragraph a candidate with the verdict, the code, the sentence, the
/// node and the user's source line, the nearest form that would be accepted, what is at stake, the kernel
/// that runs it and why others were passed over. Kernels are those of `plan`; without one, those of the plan
/// made last, if there is one.
std::string explain(const Program& program, const Plan* plan = nullptr);

/// The same as a JSON list of candidates. Each has at least verdict ("fused" or "refused"), code, sentence,
/// node and source. Where the plan computes values again for a memory budget, a last entry of verdict
/// "recomputed" says what that costs.
std::string explain_json(const Program& program, const Plan* plan = nullptr);

/// Throws InvalidArgument with the explanation unless the plan that will run has exactly `count` kernels for
/// `region` ("attention", ...) and, if the program differentiates, as many for its backward pass. Looks at
/// the launches of the plan made last; before the first one is made, at the plan for `sizes`.
void expect_fused(const Program& program, const std::string& region, int count, const Bindings& sizes = {});

}  // namespace fovea
