#include "ops/shared/pointwise.h"

#include <algorithm>
#include <cstring>

#include "ops/shared/simd/pointwise.h"

namespace fovea {
namespace {

constexpr int kMaxOperands = 3;
constexpr int64_t kTile = 1024;    // elements gathered at a time, on the stack
constexpr int64_t kShortRun = 64;  // an innermost run below this is not worth a call of its own
constexpr int64_t kCheapGrain = 32768, kCostlyGrain = 8192;  // elements of a block

// The vector loop; exactly one is set.
struct Loop {
  simd::Unary unary = nullptr;
  simd::Binary binary = nullptr;
  simd::Select select = nullptr;

  void run(const void* const* in, void* y, int64_t n, unsigned scalars) const {
    const size_t count = static_cast<size_t>(n);
    if (unary) {
      unary(in[0], y, count);
    } else if (binary) {
      binary(in[0], in[1], y, count, scalars);
    } else {
      select(in[0], in[1], in[2], y, count, scalars);
    }
  }
  // The flag for "operand k is one element"; 0 where the loop has none.
  unsigned scalar_flag(int k) const {
    constexpr unsigned kBinary[] = {simd::kScalarA, simd::kScalarB};
    constexpr unsigned kSelect[] = {simd::kScalarCond, simd::kScalarA, simd::kScalarB};
    return unary ? 0 : binary ? kBinary[k] : kSelect[k];
  }
};

template <class T>
void gather_as(const char* from, int64_t stride, int64_t n, char* to) {
  const T* s = reinterpret_cast<const T*>(from);
  T* t = reinterpret_cast<T*>(to);
  for (int64_t i = 0; i < n; ++i) t[i] = s[i * stride];
}

// Copies n elements, `stride` apart, into a row.
void gather(const char* from, int64_t stride, int64_t n, int64_t element, char* to) {
  if (stride == 1) {
    std::memcpy(to, from, static_cast<size_t>(n * element));
    return;
  }
  switch (element) {
    case 1:
      return gather_as<uint8_t>(from, stride, n, to);
    case 2:
      return gather_as<uint16_t>(from, stride, n, to);
    case 4:
      return gather_as<uint32_t>(from, stride, n, to);
    default:
      return gather_as<uint64_t>(from, stride, n, to);
  }
}

// One pointwise op on fixed shapes. Dims are merged where all operands allow it; the last one is the run.
//
//   run long:   each row (part of a row) is one call; operands lie in place, are one element, or are gathered
//   run short:  rows are gathered side by side into a tile until it is full, and the tile is one call
class Elementwise final : public PreparedKernel {
 public:
  Elementwise(const KernelRequest& r, Loop loop, int64_t grain);
  void launch(const KernelArgs& args) const override;

 private:
  struct Operand {
    int64_t element = 1;     // bytes
    int64_t run_stride = 0;  // in elements, along the run
    bool in_order = false;   // contiguous over the whole output
    bool scalar = false;     // one element for the whole output
  };
  using Offsets = StridedLoop<kMaxOperands>::Offsets;
  struct Tiles {
    alignas(64) char rows[kMaxOperands][kTile * 8];
  };

  void long_runs(const KernelArgs& args, int64_t begin, int64_t end) const;
  void short_runs(const KernelArgs& args, int64_t begin, int64_t end) const;
  const char* address(const KernelArgs& args, int k, int64_t offset) const {
    return static_cast<const char*>(args.in[k]) + offset * operands_[k].element;
  }
  void call(const KernelArgs& args, const void* const* in, int64_t at, int64_t n, unsigned scalars) const {
    loop_.run(in, static_cast<char*>(args.out[0]) + at * out_element_, n, scalars);
  }

  Loop loop_;
  StridedLoop<kMaxOperands> walk_;
  int count_;
  Operand operands_[kMaxOperands];
  int64_t run_ = 1, grain_, out_element_;
};

Elementwise::Elementwise(const KernelRequest& r, Loop loop, int64_t grain)
    : loop_(loop),
      count_(static_cast<int>(r.in.size())),
      grain_(grain),
      out_element_(size_of(r.out[0].dtype)) {
  const Dims& shape = r.out[0].shape;
  // Operands that are not there step with the output, and so hinder no merging.
  std::array<Dims, kMaxOperands> strides{contiguous_strides(shape), contiguous_strides(shape),
                                         contiguous_strides(shape)};
  for (int k = 0; k < count_; ++k) strides[k] = broadcast_strides(r.in[k], shape);
  walk_ = StridedLoop<kMaxOperands>(shape, strides);
  const int last = walk_.rank() - 1;
  if (last >= 0) run_ = walk_.dim(last);
  for (int k = 0; k < count_; ++k) {
    Operand& o = operands_[k];
    o.element = size_of(r.in[k].dtype);
    o.run_stride = last >= 0 ? walk_.stride(last, k) : 1;
    o.in_order = is_contiguous(shape, strides[k]);
    o.scalar = last >= 0 && loop_.scalar_flag(k) != 0;
    for (int d = 0; d <= last; ++d) o.scalar = o.scalar && walk_.stride(d, k) == 0;
  }
}

void Elementwise::launch(const KernelArgs& args) const {
  const int64_t size = walk_.size();
  const auto block = [this, &args, size](int64_t b) {
    const int64_t begin = b * grain_, end = std::min(size, begin + grain_);
    if (run_ < kShortRun && run_ < size) {
      short_runs(args, begin, end);
    } else {
      long_runs(args, begin, end);
    }
  };
  const int64_t blocks = block_count(size, grain_);
  if (blocks == 1) {
    block(0);
  } else if (blocks > 1) {
    args.pool.parallel_for(blocks, std::ref(block));
  }
}

void Elementwise::long_runs(const KernelArgs& args, int64_t begin, int64_t end) const {
  Tiles tiles;
  unsigned scalars = 0;
  bool gathers = false;
  for (int k = 0; k < count_; ++k) {
    if (operands_[k].run_stride == 0) scalars |= loop_.scalar_flag(k);
    gathers =
        gathers || (operands_[k].run_stride != 1 && !(operands_[k].run_stride == 0 && loop_.scalar_flag(k)));
  }
  for (int64_t at = begin; at < end;) {
    int64_t n = std::min(end - at, run_ - at % run_);
    if (gathers) n = std::min(n, kTile);
    const Offsets offsets = walk_.at(at);
    const void* in[kMaxOperands];
    for (int k = 0; k < count_; ++k) {
      const Operand& o = operands_[k];
      const char* from = address(args, k, offsets[k]);
      if (o.run_stride != 1 && !(o.run_stride == 0 && loop_.scalar_flag(k))) {
        gather(from, o.run_stride, n, o.element, tiles.rows[k]);
        from = tiles.rows[k];
      }
      in[k] = from;
    }
    call(args, in, at, n, scalars);
    at += n;
  }
}

void Elementwise::short_runs(const KernelArgs& args, int64_t begin, int64_t end) const {
  Tiles tiles;
  unsigned scalars = 0;
  for (int k = 0; k < count_; ++k)
    if (operands_[k].scalar) scalars |= loop_.scalar_flag(k);
  for (int64_t at = begin; at < end;) {
    const int64_t n = std::min(end - at, kTile);
    for (int64_t filled = 0; filled < n;) {
      const int64_t part = std::min(n - filled, run_ - (at + filled) % run_);
      const Offsets offsets = walk_.at(at + filled);
      for (int k = 0; k < count_; ++k) {
        const Operand& o = operands_[k];
        if (o.in_order || o.scalar) continue;
        gather(address(args, k, offsets[k]), o.run_stride, part, o.element,
               tiles.rows[k] + filled * o.element);
      }
      filled += part;
    }
    const void* in[kMaxOperands];
    for (int k = 0; k < count_; ++k) {
      const Operand& o = operands_[k];
      in[k] = o.scalar ? args.in[k] : o.in_order ? address(args, k, at) : tiles.rows[k];
    }
    call(args, in, at, n, scalars);
    at += n;
  }
}

// The name of the vector loop: the op's, and behind it the kind of approximation where there is a choice.
std::string loop_name(const KernelRequest& r) {
  const AttrValue* kind = r.attrs.find("approximate");
  if (!kind || r.attrs.text("approximate") == "none") return r.op;
  constexpr std::string_view kBackward = "_backward";
  const bool backward = r.op.ends_with(kBackward);
  const std::string forward = backward ? r.op.substr(0, r.op.size() - kBackward.size()) : r.op;
  return forward + "_" + r.attrs.text("approximate") + std::string(backward ? kBackward : "");
}

int64_t grain_of(const KernelRequest& r) {
  constexpr std::string_view kCheap[] = {"neg",           "abs",
                                         "add",           "sub",
                                         "mul",           "div",
                                         "sqrt",          "floor",
                                         "ceil",          "round",
                                         "maximum",       "minimum",
                                         "relu",          "square",
                                         "sign",          "less",
                                         "less_equal",    "greater",
                                         "cast",          "where",
                                         "equal",         "rsqrt",
                                         "not_equal",     "greater_equal",
                                         "is_nan",        "is_inf",
                                         "logical_and",   "logical_or",
                                         "logical_xor",   "logical_not",
                                         "reciprocal",    "relu_backward",
                                         "tanh_backward", "sigmoid_backward"};
  return std::find(std::begin(kCheap), std::end(kCheap), r.op) != std::end(kCheap) ? kCheapGrain
                                                                                   : kCostlyGrain;
}

template <class F>
std::unique_ptr<PreparedKernel> elementwise(const KernelRequest& r, F Loop::*member, F loop) {
  Loop l;
  l.*member = loop;
  return std::make_unique<Elementwise>(r, l, grain_of(r));
}

constexpr const char* kNoLoop = "there is no vector loop for operands of this dtype";

Kernel& unary_kernel(Kernel& kernel) {
  return kernel
      .when([](const KernelRequest& r) { return simd::find_unary(loop_name(r), r.in[0].dtype) != nullptr; },
            kNoLoop)
      .strided()
      .prepare([](const KernelRequest& r) {
        return elementwise(r, &Loop::unary, simd::find_unary(loop_name(r), r.in[0].dtype));
      });
}

Kernel& binary_kernel(Kernel& kernel) {
  return kernel
      .when([](const KernelRequest& r) { return simd::find_binary(loop_name(r), r.in[0].dtype) != nullptr; },
            kNoLoop)
      .strided()
      .in_place(0)
      .in_place(1)
      .prepare([](const KernelRequest& r) {
        return elementwise(r, &Loop::binary, simd::find_binary(loop_name(r), r.in[0].dtype));
      });
}

}  // namespace

std::pair<Tensor, Tensor> promoted(const Arg& a, const Arg& b) {
  DType common = DType::f32;
  if (a.is_scalar && b.is_scalar) {
    if (a.is_integral && b.is_integral) common = DType::i64;
  } else if (a.is_scalar || b.is_scalar) {
    common = (a.is_scalar ? b : a).tensor.dtype();
    if (!is_floating(common)) {
      const bool integral = (a.is_scalar ? a : b).is_integral;
      common = !integral ? DType::f32 : common == DType::boolean ? DType::i64 : common;
    }
  } else {
    common = promote(a.tensor.dtype(), b.tensor.dtype());
  }
  const auto prepared = [common](const Arg& x) {
    const Tensor t = to_tensor(x, common);
    return t.dtype() == common ? t : apply1("cast", {t}, {{"dtype", common}}, x.source);
  };
  return {prepared(a), prepared(b)};
}

Tensor to_boolean(const Arg& x) {
  const Tensor t = to_tensor(x, DType::boolean);
  return t.dtype() == DType::boolean ? t : apply1("cast", {t}, {{"dtype", DType::boolean}}, x.source);
}

void simd_unary(Kernel& kernel) { unary_kernel(kernel).in_place(0); }
void simd_test(Kernel& kernel) { unary_kernel(kernel); }
void simd_binary(Kernel& kernel) { binary_kernel(kernel); }
void simd_logical(Kernel& kernel) { binary_kernel(kernel); }

void simd_compare(Kernel& kernel) {
  kernel
      .when([](const KernelRequest& r) { return simd::find_compare(r.op, r.in[0].dtype) != nullptr; },
            kNoLoop)
      .strided()
      .prepare([](const KernelRequest& r) {
        return elementwise(r, &Loop::binary, simd::find_compare(r.op, r.in[0].dtype));
      });
}

void simd_select(Kernel& kernel) {
  kernel.when([](const KernelRequest& r) { return simd::find_select(r.out[0].dtype) != nullptr; }, kNoLoop)
      .strided()
      .in_place(1)
      .in_place(2)
      .prepare([](const KernelRequest& r) {
        return elementwise(r, &Loop::select, simd::find_select(r.out[0].dtype));
      });
}

void simd_cast(Kernel& kernel) {
  kernel
      .when([](const KernelRequest& r) { return simd::find_cast(r.in[0].dtype, r.out[0].dtype) != nullptr; },
            kNoLoop)
      .strided()
      .prepare([](const KernelRequest& r) {
        return elementwise(r, &Loop::unary, simd::find_cast(r.in[0].dtype, r.out[0].dtype));
      });
}

}  // namespace fovea
