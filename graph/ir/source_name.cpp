#include "graph/ir/source_name.h"

#include <mutex>
#include <string>
#include <unordered_set>

namespace fovea {

const char* intern_source_name(std::string_view name) {
  constexpr size_t kMaxName = 4096, kMaxTable = size_t{64} << 20, kEntryCost = 96;
  struct Table {
    std::mutex mutex;
    std::unordered_set<std::string> names;  // node-based: addresses of the strings stay
    size_t bytes = 0;
  };
  static Table* table = new Table;  // never destroyed: nodes point into it until the very end
  name = name.substr(0, name.find('\0')).substr(0, kMaxName);
  if (name.empty()) return "";
  std::lock_guard lock(table->mutex);
  if (auto at = table->names.find(std::string(name)); at != table->names.end()) return at->c_str();
  if (table->bytes + name.size() + kEntryCost > kMaxTable) return "";
  table->bytes += name.size() + kEntryCost;
  return table->names.emplace(name).first->c_str();
}

}  // namespace fovea
