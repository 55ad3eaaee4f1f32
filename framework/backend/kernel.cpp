#include "framework/backend/kernel.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>

#include "framework/base/error.h"

namespace fovea {

// Generated from the FOVEA_KERNEL lines of ops/ (cmake/manifest.cmake).
void register_builtin_kernels(void (*add)(std::string_view backend, std::string_view op,
                                          std::string_view name, KernelFn declare));

Kernel& Kernel::when(Condition holds, std::string sentence) {
  return conditions_.emplace_back(holds, std::move(sentence)), *this;
}
Kernel& Kernel::dtypes(std::initializer_list<DType> list) { return dtypes_ = list, *this; }
Kernel& Kernel::priority(int p) { return priority_ = p, *this; }
Kernel& Kernel::strided(uint64_t inputs) { return strided_ = inputs, *this; }
Kernel& Kernel::in_place(int input, int output) {
  if (output < 8 && input < 64) in_place_[output] |= uint64_t{1} << input;
  return *this;
}
Kernel& Kernel::prepare(std::function<std::unique_ptr<PreparedKernel>(const KernelRequest&)> fn) {
  return prepare_ = std::move(fn), *this;
}

std::string Kernel::refusal(const KernelRequest& r) const {
  if (!prepare_) return op_ + ": the kernel '" + name_ + "' is declared without prepare()";
  if (!dtypes_.empty()) {
    for (const auto* list : {&r.in, &r.out})
      for (const OperandSpec& s : *list) {
        // Masks, labels and keys ride along with floating operands.
        if (list->size() + r.in.size() + r.out.size() > 2 && !is_floating(s.dtype) &&
            (!r.out.empty() && is_floating(r.out[0].dtype)))
          continue;
        if (std::find(dtypes_.begin(), dtypes_.end(), s.dtype) == dtypes_.end())
          return op_ + ": " + name_ + " does not take " + std::string(to_string(s.dtype));
      }
  }
  for (const auto& [holds, sentence] : conditions_)
    if (!holds(r)) return op_ + ": " + sentence;
  return {};
}

namespace {

std::atomic<uint64_t> generation{0};

class KernelRegistry {
 public:
  static KernelRegistry& get() {
    static KernelRegistry* r = [] {
      auto* made = new KernelRegistry;
      building_ = made;
      register_builtin_kernels(
          [](std::string_view b, std::string_view op, std::string_view name, KernelFn fn) {
            building_->declared_[key(b, op)].push_back({std::string(name), fn});
          });
      return made;
    }();
    return *r;
  }

  void add(std::string_view backend, std::string_view op, std::string_view name, KernelFn fn) {
    std::lock_guard lock(mutex_);
    declared_[key(backend, op)].push_back({std::string(name), fn});
    made_.erase(key(backend, op));
  }

  const std::vector<const Kernel*>& find(std::string_view backend, std::string_view op) {
    std::lock_guard lock(mutex_);
    const std::string k = key(backend, op);
    if (auto at = made_.find(k); at != made_.end()) return at->second;
    std::vector<const Kernel*> list;
    if (auto at = declared_.find(k); at != declared_.end())
      for (const auto& [name, fn] : at->second) {
        auto* kernel = new Kernel(std::string(op), name);  // lives as long as the process: plans point to it
        fn(*kernel);
        list.push_back(kernel);
      }
    std::stable_sort(list.begin(), list.end(),
                     [](auto* a, auto* b) { return a->priority() > b->priority(); });
    return made_.emplace(k, std::move(list)).first->second;
  }

 private:
  static std::string key(std::string_view backend, std::string_view op) {
    return std::string(backend) + "/" + std::string(op);
  }
  static inline KernelRegistry* building_ = nullptr;
  std::mutex mutex_;
  std::map<std::string, std::vector<std::pair<std::string, KernelFn>>, std::less<>> declared_;
  std::map<std::string, std::vector<const Kernel*>, std::less<>> made_;
};

}  // namespace

void register_kernel(std::string_view backend, std::string_view op, std::string_view name, KernelFn fn) {
  KernelRegistry::get().add(backend, op, name, fn);
  ++generation;
}

uint64_t kernel_generation() { return generation.load(); }

const std::vector<const Kernel*>& kernels_for(std::string_view backend, std::string_view op) {
  return KernelRegistry::get().find(backend, op);
}

}  // namespace fovea
