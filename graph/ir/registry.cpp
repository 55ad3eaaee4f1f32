#include <algorithm>
#include <map>
#include <mutex>

#include "graph/build/tensor.h"
#include "graph/ir/op.h"

namespace fovea {

// Generated from the FOVEA_OP lines of ops/ (cmake/manifest.cmake).
void register_builtin_ops(void (*add)(std::string_view name, OpFn declare));

namespace {

std::map<std::string, OpFn, std::less<>>& builtin_ops() {
  static std::map<std::string, OpFn, std::less<>> ops;
  return ops;
}

// Declarations are run at first use of an op, not at start: a program that runs one model pays for its ops
// only.
class Registry {
 public:
  Registry() {
    register_builtin_ops([](std::string_view name, OpFn declare) { builtin_ops().emplace(name, declare); });
    fns_ = builtin_ops();
  }

  const OpDecl* lookup(std::string_view name) {
    std::lock_guard lock(mutex_);
    if (auto at = decls_.find(name); at != decls_.end()) return at->second.get();
    auto fn = fns_.find(name);
    if (fn == fns_.end()) return nullptr;
    auto decl = std::make_unique<OpDecl>(std::string(name));
    fn->second(*decl);
    return decls_.emplace(std::string(name), std::move(decl)).first->second.get();
  }

  const OpDecl& add(std::string_view name, OpFn fn) {
    {
      std::lock_guard lock(mutex_);
      auto [at, fresh] = fns_.emplace(std::string(name), fn);
      if (!fresh && at->second != fn) invalid("the op name '" + std::string(name) + "' is taken");
    }
    return *lookup(name);
  }

  std::vector<std::string> names() {
    std::lock_guard lock(mutex_);
    std::vector<std::string> out;
    for (const auto& [name, fn] : fns_) out.push_back(name);
    return out;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, OpFn, std::less<>> fns_;
  std::map<std::string, std::unique_ptr<OpDecl>, std::less<>> decls_;
};

Registry& registry() {
  static Registry* r =
      new Registry;  // never destroyed: graphs hold pointers to declarations until the very end
  return *r;
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t up = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = up;
    }
  }
  return row.back();
}

}  // namespace

const OpDecl& register_op(std::string_view name, OpFn fn) { return registry().add(name, fn); }
const OpDecl* lookup_op(std::string_view name) { return registry().lookup(name); }

const OpDecl& find_op(std::string_view name) {
  if (const OpDecl* op = lookup_op(name)) return *op;
  if (name.size() > 64) name = name.substr(0, 64);
  std::vector<std::pair<size_t, std::string>> near;
  for (const std::string& n : registry().names()) near.emplace_back(edit_distance(name, n), n);
  std::sort(near.begin(), near.end());
  std::string hint;
  for (size_t i = 0; i < near.size() && i < 3; ++i) hint += (i ? ", " : "") + near[i].second;
  fail(ErrorKind::Unsupported, "there is no op '" + std::string(name) + "'; nearest: " + hint);
}

std::vector<const OpDecl*> all_ops() {
  std::vector<const OpDecl*> out;
  for (const std::string& n : registry().names()) out.push_back(&find_op(n));
  return out;
}

}  // namespace fovea
