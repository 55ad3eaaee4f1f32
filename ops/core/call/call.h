#pragma once

#include <string>
#include <vector>

#include "graph/build/tensor.h"

namespace fovea {

/// Calls `function` of the module being traced with `args`; the compiler inlines it.
std::vector<Tensor> call(const std::string& function, const std::vector<Tensor>& args,
                         Source source = Source::here());

}  // namespace fovea
