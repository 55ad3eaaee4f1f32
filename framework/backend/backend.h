// Backends known to this process, by name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "framework/backend/kernel.h"
#include "framework/backend/plugin.h"

namespace fovea {

/// An opened backend: its table and its first device.
struct Backend {
  std::string name;
  const fovea_plugin_table* table = nullptr;
  fovea_device* device = nullptr;
};

/// The backend called `name`: "cpu" (the default), "reference" (plain loops in fp64, the judge of all
/// others), or one that was loaded. InvalidArgument listing what there is.
const Backend& find_backend(std::string_view name);

/// The kernels of a built-in backend that were asked before the one that runs the op, each with the sentence
/// of its refusal: "onednn: x must be f32".
std::vector<std::string> refusals(std::string_view backend, const KernelRequest& request);

}  // namespace fovea
