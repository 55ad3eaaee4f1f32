// What the author of a host-memory kernel sees: a request with concrete types, a list of conditions that each
// carry their sentence, and a prepared object that is launched many times.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "framework/runtime/thread_pool.h"
#include "framework/tensor/array.h"
#include "framework/tensor/attrs.h"

namespace fovea {

/// One operand: type and layout (strides in elements).
struct OperandSpec {
  DType dtype = DType::f32;
  Dims shape, strides;
  bool contiguous() const { return is_contiguous(shape, strides); }
  int64_t size() const { return product(shape); }
  int64_t rank() const { return static_cast<int64_t>(shape.size()); }
  int64_t nbytes() const { return size() * size_of(dtype); }
};

/// An op with concrete operands. Outputs are always row-major. Shapes in attributes are lists of integers
/// here.
struct KernelRequest {
  std::string op;
  Attrs attrs;
  std::vector<OperandSpec> in, out;
};

/// Addresses of one launch; operand i begins at in[i], workspace has the bytes that were asked for.
struct KernelArgs {
  const void* const* in;
  void* const* out;
  void* workspace;
  ThreadPool& pool;

  template <class T>
  const T* input(int i) const {
    return static_cast<const T*>(in[i]);
  }
  template <class T>
  T* output(int i) const {
    return static_cast<T*>(out[i]);
  }
};

/// An op made ready for fixed shapes. launch() allocates nothing and may run in several threads at once.
class PreparedKernel {
 public:
  virtual ~PreparedKernel() = default;
  virtual int64_t workspace_bytes() const { return 0; }
  virtual void launch(const KernelArgs& args) const = 0;
};

/// A prepared kernel from a callable: make_prepared([=](const KernelArgs& a) { ... }, workspace_bytes)
template <class F>
std::unique_ptr<PreparedKernel> make_prepared(F f, int64_t workspace = 0) {
  struct P final : PreparedKernel {
    F f;
    int64_t w;
    P(F f, int64_t w) : f(std::move(f)), w(w) {}
    int64_t workspace_bytes() const override { return w; }
    void launch(const KernelArgs& args) const override { f(args); }
  };
  return std::make_unique<P>(std::move(f), workspace);
}

/// One kernel for one op. Kernels of an op are asked in order of descending priority; the first whose
/// conditions all hold runs, and every refusal carries its sentence.
class Kernel {
 public:
  Kernel(std::string op, std::string name) : op_(std::move(op)), name_(std::move(name)) {}

  using Condition = bool (*)(const KernelRequest&);
  Kernel& when(Condition holds, std::string sentence);  ///< sentence: why not, when it does not hold
  /// All operands' dtypes are in this list (bools and indices excepted where `index_operands`).
  Kernel& dtypes(std::initializer_list<DType> list);
  Kernel& priority(int p);  ///< default 10; plain loops use 0
  /// Takes strided operands (by default every input is made row-major first). Mask bit i for input i.
  Kernel& strided(uint64_t inputs = ~uint64_t{0});
  /// The output may take over the memory of that input (the plan does so where the input is not needed any
  /// more). May be said of several inputs and outputs (the first 8).
  Kernel& in_place(int input, int output = 0);
  Kernel& prepare(std::function<std::unique_ptr<PreparedKernel>(const KernelRequest&)> fn);

  const std::string& op() const { return op_; }
  const std::string& name() const { return name_; }
  int priority() const { return priority_; }
  uint64_t strided_mask() const { return strided_; }
  /// Bit i of entry o: output o may take over input i.
  const uint64_t (&in_place_masks() const)[8] { return in_place_; }
  /// Empty if every condition holds, else the first sentence that does not.
  std::string refusal(const KernelRequest& request) const;
  std::unique_ptr<PreparedKernel> make(const KernelRequest& request) const { return prepare_(request); }

 private:
  std::string op_, name_;
  int priority_ = 10;
  uint64_t strided_ = 0;
  uint64_t in_place_[8] = {};
  std::vector<DType> dtypes_;
  std::vector<std::pair<Condition, std::string>> conditions_;
  std::function<std::unique_ptr<PreparedKernel>(const KernelRequest&)> prepare_;
};

using KernelFn = void (*)(Kernel&);

/// Declares a kernel: FOVEA_KERNEL(cpu, softmax, rows) { kernel.dtypes({DType::f32})...; }
/// Backends: cpu (fast; falls back to reference), reference (plain loops, the judge).
#define FOVEA_KERNEL(backend, op, name) \
  void fovea_kernel_##backend##_##op##_##name([[maybe_unused]] ::fovea::Kernel& kernel)

/// Adds a kernel of the user's own program; built-in kernels are added by themselves.
void register_kernel(std::string_view backend, std::string_view op, std::string_view name, KernelFn fn);

/// Grows with every register_kernel: what was chosen before may not be the choice now.
uint64_t kernel_generation();

/// The kernels of `op` on `backend`, highest priority first.
const std::vector<const Kernel*>& kernels_for(std::string_view backend, std::string_view op);

/// Rounds `n` items into blocks of about `grain`: how kernels cut work by shape alone.
inline int64_t block_count(int64_t n, int64_t grain) { return grain <= 0 ? n : (n + grain - 1) / grain; }

}  // namespace fovea
