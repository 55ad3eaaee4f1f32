// Attention weights as one interactive page.
#pragma once

#include <string>

#include "frontends/tools/view/attention_map.h"

namespace fovea::tools {

/// One self-contained HTML page: source tokens across, target tokens down, a panel for each layer and head
/// and their averages, the weight under the pointer, arrow keys, light and dark. It loads nothing and runs
/// from a file; tokens and title are data in it, never markup.
std::string attention_html(const AttentionMap& map);

/// Writes that page.
void write_attention_html(const std::string& path, const AttentionMap& map);

}  // namespace fovea::tools
