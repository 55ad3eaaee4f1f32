// Checks of modules that come from outside: what verify() and the declarations of ops take for granted.
#pragma once

#include <string>
#include <vector>

#include "graph/ir/graph.h"

namespace fovea {

/// Indices in range, arguments that are distinct "input" nodes, functions under their own names, no function
/// that calls itself. verify() presumes these of the functions a node names. InvalidArgument naming function
/// and rule.
void verify_structure(const Module& module);

/// Names of all functions, each behind those its nodes name; InvalidArgument for a function that calls
/// itself. Names that the module lacks are left out.
std::vector<std::string> callees_first(const Module& module);

}  // namespace fovea
