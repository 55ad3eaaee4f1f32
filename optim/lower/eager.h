// One op at once, on a backend of choice.
#pragma once

#include <string>
#include <vector>

#include "graph/build/builder.h"

namespace fovea {

/// run_op (graph/build/builder.h) on the backend of that name.
std::vector<Array> run_op_on(const std::string& backend, const OpDecl& op, const std::vector<Array>& inputs,
                             const Attrs& attrs);

}  // namespace fovea
