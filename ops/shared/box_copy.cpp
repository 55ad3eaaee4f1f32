#include "ops/shared/box_copy.h"

namespace fovea {
namespace {

constexpr int64_t kBlockBytes = 64 << 10;

// Where a view of the operand begins and how it is walked to fill the output in row-major order.
struct Walk {
  Dims shape, strides;
  int64_t offset = 0;
};

Walk walk_of(const KernelRequest& r, const ViewFn& view) {
  Walk w;
  if (view && view(r.attrs, r.in[0].shape, r.in[0].strides, r.out[0].shape, w.strides, w.offset)) {
    w.shape = r.out[0].shape;
  } else {
    w = {r.in[0].shape, r.in[0].strides, 0};
  }
  if (product(w.shape) != r.out[0].size())
    invalid(r.op + ": " + std::to_string(product(w.shape)) + " elements cannot fill " +
            std::to_string(r.out[0].size()));
  return w;
}

}  // namespace

BoxCopy::BoxCopy(int64_t bytes, const Dims& shape, const Dims& from, const Dims& to)
    : copy_(static_cast<int>(shape.size()), shape.data(), from.data(), to.data(), static_cast<size_t>(bytes)),
      blocks_(copy_.units(), kBlockBytes / std::max<int64_t>(1, copy_.unit_bytes())) {}

void BoxCopy::run(const void* from, void* to, ThreadPool& pool) const {
  for_blocks(pool, blocks_, [&](int64_t, int64_t begin, int64_t end) { copy_.run(from, to, begin, end); });
}

void reference_view_copy(Kernel& kernel, ViewFn view) {
  kernel.priority(0).strided().prepare([view = std::move(view)](const KernelRequest& r) {
    const Walk w = walk_of(r, view);
    const StridedLoop<1> loop(w.shape, {w.strides});
    return dispatch_bytes(size_of(r.out[0].dtype), [&](auto unit) -> std::unique_ptr<PreparedKernel> {
      using T = decltype(unit);
      return make_prepared([loop, offset = w.offset](const KernelArgs& args) {
        const T* x = args.input<T>(0) + offset;
        T* y = args.output<T>(0);
        loop.each([&](const auto& at) { *y++ = x[at[0]]; });
      });
    });
  });
}

void cpu_view_copy(Kernel& kernel, ViewFn view) {
  kernel.strided().prepare(
      [view = std::move(view)](const KernelRequest& r) -> std::unique_ptr<PreparedKernel> {
        const Walk w = walk_of(r, view);
        const int64_t bytes = size_of(r.out[0].dtype);
        const BoxCopy copy(bytes, w.shape, w.strides, contiguous_strides(w.shape));
        return make_prepared([copy, skip = w.offset * bytes](const KernelArgs& args) {
          copy.run(args.input<char>(0) + skip, args.out[0], args.pool);
        });
      });
}

}  // namespace fovea
