// Explanations as text and as JSON.
#pragma once

#include <string>
#include <vector>

#include "optim/explain/explain.h"

namespace fovea {

/// `plan` may be nullptr.
std::string explanation_text(const std::string& function, const std::vector<Explanation>& all,
                             const Plan* plan);
std::string explanation_json(const std::vector<Explanation>& all, const Plan* plan = nullptr,
                             const std::string& function = {});

/// "model.cpp:12", "" where it is not known.
std::string source_text(const Source& source);

}  // namespace fovea
