// Pages of HTML: their fixed parts, and data put into them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace fovea::tools {

// Whole pages (markup, style, scripts) but for their data, made from the files in attention_page and
// graph_page.
extern const char* const kAttentionPage;
extern const char* const kGraphPage;

/// One of them with its data.
std::string page_with(const char* page, const nlohmann::ordered_json& data);

}  // namespace fovea::tools
