// The built-in backends, cpu and reference: the kernels of ops/ behind the same C table that a plug-in
// answers.
#include <cstring>
#include <string>

#include "framework/backend/abi.h"
#include "framework/backend/backend.h"
#include "framework/backend/cpu/instruction_set.h"
#include "framework/base/error.h"
#include "framework/base/version.h"

namespace fovea {
namespace {

thread_local std::string last_message;

fovea_status ok() { return {FOVEA_OK, nullptr}; }

template <class F>
fovea_status guarded(F&& body) {
  try {
    body();
    return ok();
  } catch (const Error& e) {
    last_message = e.message();
    return {static_cast<fovea_code>(static_cast<int>(e.kind()) + 1), last_message.c_str()};
  } catch (const std::bad_alloc&) {
    return {FOVEA_RESOURCE_EXHAUSTED, "out of memory"};
  } catch (const std::exception& e) {
    last_message = e.what();
    return {FOVEA_BACKEND_FAULT, last_message.c_str()};
  }
}

struct Choice {
  const Kernel* kernel = nullptr;
  std::string reason;
};

// cpu asks its own kernels first and the plain loops last; reference has the plain loops only.
template <bool kFast>
Choice choose(const KernelRequest& request) {
  Choice c;
  for (const char* backend : {"cpu", "reference"}) {
    if (!kFast && backend[0] == 'c') continue;
    for (const Kernel* k : kernels_for(backend, request.op)) {
      std::string refusal = k->refusal(request);
      if (refusal.empty()) return {k, std::move(c.reason)};
      c.reason += (c.reason.empty() ? "" : "; ") + refusal;
    }
  }
  if (c.reason.empty()) c.reason = request.op + ": has no kernel on this backend";
  return c;
}

uint64_t needs_contiguous(const Kernel& kernel, const KernelRequest& request) {
  uint64_t mask = 0;
  for (size_t i = 0; i < request.in.size() && i < 64; ++i)
    if (!(kernel.strided_mask() >> i & 1) && !request.in[i].contiguous()) mask |= uint64_t{1} << i;
  return mask;
}

template <bool kFast>
fovea_status query(fovea_device*, const fovea_op* op, fovea_support* out) {
  return guarded([&] {
    const KernelRequest request = from_abi(*op);
    Choice c = choose<kFast>(request);
    last_message = std::move(c.reason);
    out->kind = FOVEA_SUPPORT_NO;
    out->reason = last_message.c_str();
    if (!c.kernel) return;
    out->contiguous = needs_contiguous(*c.kernel, request);
    out->kind = out->contiguous ? FOVEA_SUPPORT_NEEDS_LAYOUT : FOVEA_SUPPORT_NATIVE;
    if (out->contiguous) out->reason = "takes row-major operands only";
    out->kernel = c.kernel->name().c_str();
    std::memcpy(out->in_place, c.kernel->in_place_masks(), sizeof out->in_place);
    out->deterministic = 1;
  });
}

// What op_prepare returns: the kernel and the number of its operands.
struct Prepared {
  std::unique_ptr<PreparedKernel> kernel;
  size_t in, out;
};

template <bool kFast>
fovea_status prepare(fovea_device*, const fovea_op* op, fovea_prepared** out) {
  return guarded([&] {
    const KernelRequest request = from_abi(*op);
    const Choice c = choose<kFast>(request);
    if (!c.kernel) fail(ErrorKind::Unsupported, c.reason);
    if (needs_contiguous(*c.kernel, request))
      invalid(request.op + ": operands must be row-major for " + c.kernel->name());
    *out = reinterpret_cast<fovea_prepared*>(
        new Prepared{c.kernel->make(request), request.in.size(), request.out.size()});
  });
}

fovea_status workspace(fovea_prepared* prepared, uint64_t* bytes) {
  *bytes = static_cast<uint64_t>(reinterpret_cast<Prepared*>(prepared)->kernel->workspace_bytes());
  return ok();
}

// Memory for the addresses of many operands, which a thread keeps from launch to launch.
class Operands {
 public:
  explicit Operands(size_t count) {
    if (count == 0) return;
    list_.swap(kept);  // a launch inside a launch finds none and makes its own
    if (list_.size() < count) list_.resize(count);
  }
  ~Operands() {
    if (list_.size() > kept.size()) list_.swap(kept);
  }
  Operands(const Operands&) = delete;
  Operands& operator=(const Operands&) = delete;
  void** data() { return list_.data(); }

 private:
  static thread_local std::vector<void*> kept;
  std::vector<void*> list_;
};
thread_local std::vector<void*> Operands::kept;

void* address(const fovea_ref& r) { return reinterpret_cast<char*>(r.buffer) + r.offset; }

fovea_status launch(fovea_queue*, fovea_prepared* prepared, const fovea_launch* launch) {
  return guarded([&] {
    const Prepared& p = *reinterpret_cast<Prepared*>(prepared);
    constexpr size_t kFew = 24;
    void* few[kFew];
    void** refs = few;
    Operands many(p.in + p.out > kFew ? p.in + p.out : 0);
    if (p.in + p.out > kFew) refs = many.data();
    for (size_t i = 0; i < p.in; ++i) refs[i] = address(launch->inputs[i]);
    for (size_t i = 0; i < p.out; ++i) refs[p.in + i] = address(launch->outputs[i]);
    p.kernel->launch({refs, refs + p.in, address(launch->workspace), default_pool()});
  });
}

fovea_status release(fovea_prepared* prepared) {
  delete reinterpret_cast<Prepared*>(prepared);
  return ok();
}

template <bool kFast>
fovea_status info(fovea_info* out) {
  out->name = kFast ? "cpu" : "reference";
  out->vendor = "Fovea";
  out->version = out->build_id = kVersion;
  out->header_major = FOVEA_ABI_MAJOR;
  out->header_minor = FOVEA_ABI_MINOR;
  out->device_kind = 1;
  return ok();
}

fovea_status device_count(int32_t* count, const char** reason) {
  *count = 1;
  *reason = nullptr;
  return ok();
}
fovea_status device_open(int32_t index, fovea_device** out) {
  *out = nullptr;
  return index == 0 ? ok() : fovea_status{FOVEA_INVALID_ARGUMENT, "there is one device, number 0"};
}
fovea_status device_close(fovea_device*) { return ok(); }
fovea_status shutdown() { return ok(); }
fovea_status props(fovea_device*, fovea_props* out) {
  out->memory_bytes = 0;
  out->alignment = 64;
  out->dtype_mask = (1u << kDTypeCount) - 1;
  out->unified = 1;
  out->deterministic = 1;
  return ok();
}

template <bool kFast>
const fovea_plugin_table* table() {
  static const fovea_plugin_table t = [] {
    fovea_plugin_table t{};
    t.struct_size = sizeof t;
    t.info = info<kFast>;
    t.device_count = device_count;
    t.device_open = device_open;
    t.device_close = device_close;
    t.shutdown = shutdown;
    t.props = props;
    t.op_query = query<kFast>;
    t.op_prepare = prepare<kFast>;
    t.op_workspace = workspace;
    t.op_launch = launch;
    t.op_release = release;
    return t;
  }();
  return &t;
}

}  // namespace

const Backend& find_backend(std::string_view name) {
  static const bool limited = (apply_instruction_set_limit(), true);  // tried again after an error
  (void)limited;
  static const Backend cpu{"cpu", table<true>(), nullptr}, reference{"reference", table<false>(), nullptr};
  if (name == "cpu") return cpu;
  if (name == "reference") return reference;
  invalid("there is no backend '" + std::string(name) + "'; there are: cpu, reference");
}

std::vector<std::string> refusals(std::string_view backend, const KernelRequest& request) {
  std::vector<std::string> out;
  for (const char* kernels : {"cpu", "reference"}) {
    if (backend != "cpu" && backend != kernels) continue;
    for (const Kernel* k : kernels_for(kernels, request.op)) {
      std::string why = k->refusal(request);
      if (why.empty()) return out;
      if (why.starts_with(request.op + ": ")) why.erase(0, request.op.size() + 2);
      out.push_back(k->name() + ": " + why);
    }
  }
  return out;
}

}  // namespace fovea
