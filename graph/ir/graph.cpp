#include "graph/ir/graph.h"

#include <algorithm>

#include "framework/base/error.h"

namespace fovea {

std::string to_string(const TensorType& type) {
  return std::string(to_string(type.dtype)) + to_string(type.shape);
}

const std::string& Graph::input_name(size_t i) const { return nodes[inputs[i]].attrs.text("name"); }

Graph& Module::function(const std::string& name) const {
  auto at = functions.find(name);
  if (at != functions.end()) return *at->second;
  std::string known;
  for (const auto& [n, g] : functions) {
    if (known.size() > 400) {
      known += ", ...";
      break;
    }
    known += (known.empty() ? "" : ", ") + n;
  }
  invalid("the module has no function '" + name + "'; it has: " + (known.empty() ? "none" : known));
}

std::string Module::unique_name(const std::string& stem) const {
  if (!functions.count(stem)) return stem;
  for (int i = 1;; ++i) {
    std::string name = stem + "." + std::to_string(i);
    if (!functions.count(name)) return name;
  }
}

int32_t Module::scope_id(const std::string& scope) {
  if (scopes.back() == scope) return static_cast<int32_t>(scopes.size()) - 1;  // runs of nodes share a scope
  auto at = std::find(scopes.begin(), scopes.end(), scope);
  if (at == scopes.end()) at = scopes.insert(scopes.end(), scope);
  return static_cast<int32_t>(at - scopes.begin());
}

}  // namespace fovea
