// The lanes of tensors along one axis: what cumulative ops, sorting and searching go through one by one.
#pragma once

#include "framework/backend/kernel.h"
#include "ops/shared/blocks.h"
#include "ops/shared/strided_loop.h"
#include "ops/shared/widen.h"

namespace fovea {

/// `loop` visits the first element of each lane; element i of a lane is i * step[k] further on in operand k.
/// Operands may differ in their size at `axis`; `length` is that of `shape`.
template <int N>
struct Lanes {
  Lanes(int64_t axis, const Dims& shape, const std::array<Dims, N>& strides) : length(shape[axis]) {
    const auto kept = other_axes(static_cast<int64_t>(shape.size()), {axis});
    std::array<Dims, N> rest;
    for (int k = 0; k < N; ++k) {
      rest[k] = pick(strides[k], kept);
      step[k] = strides[k][axis];
    }
    loop = StridedLoop<N>(pick(shape, kept), rest);
  }
  int64_t count() const { return loop.size(); }

  StridedLoop<N> loop;
  int64_t length;
  std::array<int64_t, N> step;
};

/// The kernel of running results along attribute "axis": acc = combine(acc, x_i), beginning with `start`,
/// from the first element to the last, or the other way where backwards(request) says so. In double or int64.
template <class F>
void running_kernel(Kernel& kernel, int64_t start, F combine, bool (*backwards)(const KernelRequest&)) {
  kernel.strided().prepare([=](const KernelRequest& r) {
    const Lanes<2> lanes(r.attrs.integer("axis"), r.in[0].shape,
                         {r.in[0].strides, contiguous_strides(r.out[0].shape)});
    const bool reverse = backwards(r);
    const Blocks blocks(lanes.count(), 16384 / std::max<int64_t>(1, lanes.length));
    return dispatch(r.in[0].dtype, [&](auto zero) -> std::unique_ptr<PreparedKernel> {
      using T = decltype(zero);
      return make_prepared([=](const KernelArgs& args) {
        for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
          lanes.loop.each(begin, end, [&](const auto& at) {
            auto acc = static_cast<Wide<T>>(start);
            for (int64_t i = 0; i < lanes.length; ++i) {
              const int64_t k = reverse ? lanes.length - 1 - i : i;
              acc = combine(acc, widen(args.input<T>(0)[at[0] + k * lanes.step[0]]));
              args.output<T>(0)[at[1] + k * lanes.step[1]] = narrow<T>(acc);
            }
          });
        });
      });
    });
  });
}

}  // namespace fovea
