// From functions to what the graph page shows of them.
#pragma once

#include <memory>
#include <string>

#include "frontends/tools/functions.h"
#include "frontends/tools/view/graph_view.h"

namespace fovea::tools {

struct GraphModelOptions {
  Sizes sizes;
  bool training = false;  ///< the function and its gradient
  bool measure = false;   ///< run it on made-up arguments and show the times of its kernels
  std::string backend = "cpu";
};

/// The function as it was written (calls and gradients expanded) and as it runs.
ViewFunction view_function(const std::shared_ptr<Module>& module, const std::string& function,
                           const GraphModelOptions& options);

/// What an op is coloured by.
std::string kind_of(const std::string& op);

}  // namespace fovea::tools
