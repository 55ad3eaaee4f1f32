#include "frontends/nn/module_scope.h"

#include <string_view>

namespace fovea::nn {
namespace {

thread_local const std::string* current_path = nullptr;

// The path below the module whose call surrounds this one, or all of it where that is no parent.
std::string_view rest_of(const std::string& path) {
  if (!current_path || current_path->empty()) return path;
  const std::string& outer = *current_path;
  if (path == outer) return {};
  if (path.size() > outer.size() && path.compare(0, outer.size(), outer) == 0 && path[outer.size()] == '.')
    return std::string_view(path).substr(outer.size() + 1);
  return path;
}

}  // namespace

ModuleScope::ModuleScope(const Module& module, Source source)
    : source_(source), name_(rest_of(module.name())), outer_(current_path) {
  current_path = &module.name();
}
ModuleScope::~ModuleScope() { current_path = outer_; }

}  // namespace fovea::nn
