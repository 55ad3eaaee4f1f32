// Functions as one page of HTML that needs nothing else: no network, no files beside it.
#pragma once

#include <string>
#include <vector>

#include "frontends/tools/view/graph_view.h"

namespace fovea::tools {

/// The page. It shows every function as it was written and as it runs, with modules collapsed; layouts are
/// made here, the page only moves boxes apart when a module is opened.
std::string graph_html(const std::string& title, const std::vector<ViewFunction>& functions);

/// The same in a file.
void write_graph_html(const std::string& path, const std::string& title,
                      const std::vector<ViewFunction>& functions);

}  // namespace fovea::tools
