// The way from a traced function to the graph that is lowered.
#pragma once

#include <memory>
#include <string>

#include "optim/rewrite/pass.h"

namespace fovea {

/// Puts the functions that `function` reaches through all passes, in context.module: before gradients are
/// expanded on each of them, calls inlined; then, expanded, on the whole and on the bodies of control flow.
/// Returns what became of `function`, without calls and gradients.
std::shared_ptr<Graph> optimise(const std::string& function, PassContext& context);

/// The same up to and including one pass: "cse" is the one before gradients are expanded (functions that
/// `function` reaches are in context.module), "expanded:cse" the one after. InvalidArgument where there is
/// none.
std::shared_ptr<Graph> optimise_until(const std::string& function, PassContext& context,
                                      const std::string& last);

/// The functions that `function` reaches, itself included, each behind those it names.
std::vector<std::string> reachable_functions(const Module& module, const std::string& function);

}  // namespace fovea
