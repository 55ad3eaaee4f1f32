// Random rewrites of a function.
#pragma once

#include <string>

#include "frontends/tools/fuzz/random.h"
#include "graph/ir/graph.h"

namespace fovea::tools {

/// Rewrites `function` here and there: `preserve`: into other spellings of the same; otherwise one value is
/// also replaced by something else of its type.
void mutate(Module& module, const std::string& function, Random& random, bool preserve);

/// The module with f64 in the place of all floating types, attributes and constants included.
std::shared_ptr<Module> widened(const Module& module);

}  // namespace fovea::tools
