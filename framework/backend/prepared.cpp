#include "framework/backend/prepared.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "framework/backend/abi.h"

namespace fovea {
namespace {

// Everything a backend is told of an op, as bytes.
class Key {
 public:
  Key(const Backend& backend, const KernelRequest& request) {
    put(backend.table);
    put(kernel_generation());
    put(request.op);
    for (const auto& [name, value] : request.attrs) {
      put(name);
      put(value.index());
      std::visit([this](const auto& v) { put_value(v); }, value);
    }
    for (const auto* list : {&request.in, &request.out}) {
      put(list->size());
      for (const OperandSpec& s : *list) {
        put(s.dtype);
        put_value(s.shape);
        put_value(s.strides);
      }
    }
  }
  std::string bytes;

 private:
  template <class T>
  requires std::is_trivially_copyable_v<T>
  void put(const T& x) { bytes.append(reinterpret_cast<const char*>(&x), sizeof x); }
  void put(const std::string& text) {
    put(text.size());
    bytes += text;
  }
  template <class T>
  void put_value(const T& x) {
    if constexpr (std::is_trivially_copyable_v<T>) {
      put(x);
    } else if constexpr (std::is_same_v<T, std::string>) {
      put(x);
    } else if constexpr (std::is_same_v<T, FunctionRef>) {
      put(x.name);
    } else if constexpr (std::is_same_v<T, Shape>) {
      put(to_string(x));
    } else {
      put(x.size());
      bytes.append(reinterpret_cast<const char*>(x.data()), x.size() * sizeof(x[0]));
    }
  }
};

// Holds ops weakly: an op that no plan needs any more is gone, and its entry goes at the next sweep.
class Pool {
 public:
  std::shared_ptr<const PreparedOp> find(const std::string& key) {
    std::lock_guard lock(mutex_);
    auto at = ops_.find(key);
    return at == ops_.end() ? nullptr : at->second.lock();
  }
  void add(std::string key, const std::shared_ptr<const PreparedOp>& op) {
    std::lock_guard lock(mutex_);
    ops_[std::move(key)] = op;
    if (ops_.size() < sweep_at_) return;
    std::erase_if(ops_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = std::max<size_t>(1024, 2 * ops_.size());
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, std::weak_ptr<const PreparedOp>> ops_;
  size_t sweep_at_ = 1024;
};

Pool& pool() {
  static Pool* p = new Pool;  // plans in static storage may outlive every other object
  return *p;
}

}  // namespace

PreparedOp::~PreparedOp() {
  if (handle) backend->table->op_release(handle);
}

std::string operands_text(const KernelRequest& request) {
  auto list = [](const std::vector<OperandSpec>& operands) {
    std::string text;
    for (const OperandSpec& o : operands)
      text += (text.empty() ? "" : ", ") + std::string(to_string(o.dtype)) + to_string(o.shape);
    return text;
  };
  return list(request.in) + " -> " + list(request.out);
}

PreparedResult prepare_op(const Backend& backend, const KernelRequest& request) {
  Key key(backend, request);
  if (auto known = pool().find(key.bytes)) return {std::move(known), 0, {}};
  const AbiOp abi(request);
  fovea_support support{};
  support.struct_size = sizeof support;
  check(backend.table->op_query(backend.device, abi.get(), &support));
  if (support.kind == FOVEA_SUPPORT_NEEDS_LAYOUT) return {nullptr, support.contiguous, {}};
  if (support.kind == FOVEA_SUPPORT_NO) return {nullptr, 0, support.reason};
  auto op = std::make_shared<PreparedOp>();
  op->backend = &backend;
  op->request = request;
  op->kernel = support.kernel ? support.kernel : "";
  std::copy(std::begin(support.in_place), std::end(support.in_place), op->in_place);
  check(backend.table->op_prepare(backend.device, abi.get(), &op->handle));
  uint64_t workspace = 0;
  check(backend.table->op_workspace(op->handle, &workspace));
  op->workspace = static_cast<int64_t>(workspace);
  pool().add(std::move(key.bytes), op);
  return {std::move(op), 0, {}};
}

}  // namespace fovea
