#include "ops/shared/pointwise.h"

#include <algorithm>
#include <cstdlib>

#include "ops/shared/simd/pointwise.h"

namespace fovea {
namespace {

constexpr int kMaxOperands = 3;
constexpr int64_t kTile = 1024;    // elements gathered at a time, on the stack
constexpr int64_t kShortRun = 64;  // an innermost run below this is not worth a call of its own
constexpr int64_t kPatchRows = 16, kPatchColumns = 64;
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
void gather_as(const char* from, int64_t row_stride, int64_t stride, int64_t rows, int64_t n, char* to) {
  const T* s = reinterpret_cast<const T*>(from);
  T* t = reinterpret_cast<T*>(to);
  if (std::abs(row_stride) < std::abs(stride)) {  // the inner loop goes along the smaller stride
    for (int64_t i = 0; i < n; ++i)
      for (int64_t r = 0; r < rows; ++r) t[r * n + i] = s[r * row_stride + i * stride];
  } else {
    for (int64_t r = 0; r < rows; ++r, t += n, s += row_stride)
      for (int64_t i = 0; i < n; ++i) t[i] = s[i * stride];
  }
}

// Copies rows of n elements, `stride` apart, into dense rows.
void gather(const char* from, int64_t row_stride, int64_t stride, int64_t rows, int64_t n, int64_t element,
            char* to) {
  switch (element) {
    case 1:
      return gather_as<uint8_t>(from, row_stride, stride, rows, n, to);
    case 2:
      return gather_as<uint16_t>(from, row_stride, stride, rows, n, to);
    case 4:
      return gather_as<uint32_t>(from, row_stride, stride, rows, n, to);
    default:
      return gather_as<uint64_t>(from, row_stride, stride, rows, n, to);
  }
}

// One pointwise op on fixed shapes. Dims are merged where all operands allow it; the last one is the run.
//
//   long runs:    each row is a call; operands lie in place, are one element, or are gathered a piece at a
//   time short runs:   rows are gathered side by side into a tile, and the tile is a call turned runs:  where
//   an operand is transposed, patches of 16 x 64 are gathered, and each row of a patch is a call
class Elementwise final : public PreparedKernel {
 public:
  Elementwise(const KernelRequest& r, Loop loop, int64_t grain);
  void launch(const KernelArgs& args) const override;

 private:
  struct Operand {
    int64_t element = 1;                     // bytes
    int64_t run_stride = 1, row_stride = 0;  // in elements, along the run and from one run to the next
    bool in_order = false;                   // contiguous over the whole output
    bool scalar = false;                     // one element for the whole output
    bool repeats = false;                    // the same run again and again
    bool gathered = false;                   // by long and turned runs
  };
  using Walk = StridedLoop<kMaxOperands>;
  struct Tiles {
    alignas(64) char rows[kMaxOperands][kTile * 8];
  };

  void long_runs(const KernelArgs& args, int64_t begin, int64_t end) const;
  void short_runs(const KernelArgs& args, int64_t begin, int64_t end) const;
  void turned_runs(const KernelArgs& args, int64_t begin, int64_t end) const;
  const char* address(const KernelArgs& args, int k, int64_t offset) const {
    return static_cast<const char*>(args.in[k]) + offset * operands_[k].element;
  }
  void call(const KernelArgs& args, const void* const* in, int64_t at, int64_t n, unsigned scalars) const {
    loop_.run(in, static_cast<char*>(args.out[0]) + at * out_element_, n, scalars);
  }

  Loop loop_;
  Walk walk_;
  int count_;
  Operand operands_[kMaxOperands];
  int64_t run_ = 1, rows_ = 1, grain_, out_element_;
  unsigned run_scalars_ = 0;  // operands that are one element along a run
  void (Elementwise::*method_)(const KernelArgs&, int64_t, int64_t) const = &Elementwise::long_runs;
};

Elementwise::Elementwise(const KernelRequest& r, Loop loop, int64_t grain)
    : loop_(loop),
      count_(static_cast<int>(r.in.size())),
      grain_(grain),
      out_element_(size_of(r.out[0].dtype)) {
  const Dims& shape = r.out[0].shape;
  // Operands that are not there step with the output, and so hinder no merging.
  const Dims dense = contiguous_strides(shape);
  std::array<Dims, kMaxOperands> strides{dense, dense, dense};
  for (int k = 0; k < count_; ++k) strides[k] = broadcast_strides(r.in[k], shape);
  walk_ = Walk(shape, strides);
  const int last = walk_.rank() - 1;
  if (last >= 0) run_ = walk_.dim(last);
  if (last >= 1) rows_ = walk_.dim(last - 1);
  bool turned = false;
  for (int k = 0; k < count_; ++k) {
    Operand& o = operands_[k];
    o.element = size_of(r.in[k].dtype);
    if (last >= 0) o.run_stride = walk_.stride(last, k);
    if (last >= 1) o.row_stride = walk_.stride(last - 1, k);
    o.in_order = is_contiguous(shape, strides[k]);
    o.repeats = true;
    for (int d = 0; d < last; ++d) o.repeats = o.repeats && walk_.stride(d, k) == 0;
    const bool one = o.run_stride == 0 && loop_.scalar_flag(k) != 0;
    o.scalar = one && o.repeats;
    o.gathered = o.run_stride != 1 && !one;
    if (one) run_scalars_ |= loop_.scalar_flag(k);
    turned = turned || (o.gathered && o.row_stride != 0 && std::abs(o.row_stride) < std::abs(o.run_stride));
  }
  const int64_t size = walk_.size();
  if (size == 0) return;
  if (run_ < kShortRun && run_ < size) {
    method_ = &Elementwise::short_runs;
    grain_ -= grain_ % run_;  // whole runs
  } else if (turned && rows_ >= 4) {
    method_ = &Elementwise::turned_runs;
    grain_ = std::max<int64_t>(grain_ / run_ / kPatchRows, 1) * kPatchRows * run_;
  }
}

void Elementwise::launch(const KernelArgs& args) const {
  const int64_t size = walk_.size(), blocks = block_count(size, grain_);
  const auto block = [this, &args, size](int64_t b) {
    (this->*method_)(args, b * grain_, std::min(size, (b + 1) * grain_));
  };
  if (blocks == 1) {
    block(0);
  } else if (blocks > 1) {
    args.pool.parallel_for(blocks, std::ref(block));
  }
}

void Elementwise::long_runs(const KernelArgs& args, int64_t begin, int64_t end) const {
  Tiles tiles;
  bool gathers = false;
  for (int k = 0; k < count_; ++k) gathers = gathers || operands_[k].gathered;
  for (int64_t at = begin; at < end;) {
    int64_t n = std::min(end - at, run_ - at % run_);
    if (gathers) n = std::min(n, kTile);
    const Walk::Offsets offsets = walk_.at(at);
    const void* in[kMaxOperands];
    for (int k = 0; k < count_; ++k) {
      const Operand& o = operands_[k];
      in[k] = address(args, k, offsets[k]);
      if (!o.gathered) continue;
      gather(address(args, k, offsets[k]), 0, o.run_stride, 1, n, o.element, tiles.rows[k]);
      in[k] = tiles.rows[k];
    }
    call(args, in, at, n, run_scalars_);
    at += n;
  }
}

void Elementwise::short_runs(const KernelArgs& args, int64_t begin, int64_t end) const {
  Tiles tiles;
  const int64_t tile_rows = kTile / run_;
  unsigned scalars = 0;
  for (int k = 0; k < count_; ++k) {
    const Operand& o = operands_[k];
    if (o.scalar) scalars |= loop_.scalar_flag(k);
    if (o.repeats && !o.scalar)  // filled once for all tiles
      for (int64_t r = 0; r < tile_rows; ++r)
        gather(address(args, k, 0), 0, o.run_stride, 1, run_, o.element,
               tiles.rows[k] + r * run_ * o.element);
  }
  for (int64_t at = begin; at < end;) {
    const int64_t rows = std::min(tile_rows, (end - at) / run_), n = rows * run_;
    const void* in[kMaxOperands];
    for (int k = 0; k < count_; ++k) {
      const Operand& o = operands_[k];
      in[k] = o.scalar ? args.in[k] : o.in_order ? address(args, k, at) : tiles.rows[k];
      if (o.scalar || o.in_order || o.repeats) continue;
      // Rows of the innermost outer dim lie evenly spaced.
      for (int64_t row = 0; row < rows;) {
        const int64_t from = at / run_ + row, part = std::min(rows - row, rows_ - from % rows_);
        gather(address(args, k, walk_.at(from * run_)[k]), o.row_stride, o.run_stride, part, run_, o.element,
               tiles.rows[k] + row * run_ * o.element);
        row += part;
      }
    }
    call(args, in, at, n, scalars);
    at += n;
  }
}

void Elementwise::turned_runs(const KernelArgs& args, int64_t begin, int64_t end) const {
  Tiles tiles;
  for (int64_t row = begin / run_; row < end / run_;) {
    const int64_t rows = std::min({kPatchRows, end / run_ - row, rows_ - row % rows_});
    for (int64_t column = 0; column < run_; column += kPatchColumns) {
      const int64_t n = std::min(kPatchColumns, run_ - column), at = row * run_ + column;
      const Walk::Offsets offsets = walk_.at(at);
      for (int k = 0; k < count_; ++k) {
        const Operand& o = operands_[k];
        if (o.gathered)
          gather(address(args, k, offsets[k]), o.row_stride, o.run_stride, rows, n, o.element, tiles.rows[k]);
      }
      for (int64_t r = 0; r < rows; ++r) {
        const void* in[kMaxOperands];
        for (int k = 0; k < count_; ++k) {
          const Operand& o = operands_[k];
          in[k] = o.gathered ? tiles.rows[k] + r * n * o.element
                             : address(args, k, offsets[k] + r * o.row_stride);
        }
        call(args, in, at + r * run_, n, run_scalars_);
      }
    }
    row += rows;
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
