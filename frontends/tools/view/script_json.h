// Data inside a page.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace fovea::tools {

/// JSON that may stand inside a script element: no "<", so neither an end tag nor a comment can begin in it.
std::string for_script(const nlohmann::ordered_json& json);

}  // namespace fovea::tools
