#include "ops/shared/ordering.h"

#include <algorithm>

#include "framework/base/checked.h"

#include "ops/shared/blocks.h"
#include "ops/shared/lanes.h"
#include "ops/shared/widen.h"

namespace fovea {
namespace {

// a before b in ascending order, NaN behind everything.
template <class V>
bool less(V a, V b) {
  return a < b || (b != b && a == a);
}

// Positions 0..n-1 in `order`, the first `keep` of them sorted by their values; ties by position, which makes
// the result unique, and so independent of the algorithm.
template <class At>
void sort_positions(int64_t* order, int64_t n, int64_t keep, bool descending, At at) {
  for (int64_t i = 0; i < n; ++i) order[i] = i;
  const auto before = [&](int64_t i, int64_t j) {
    const auto a = at(i), b = at(j);
    if (descending ? less(b, a) : less(a, b)) return true;
    if (descending ? less(a, b) : less(b, a)) return false;
    return i < j;
  };
  if (keep < n)
    std::partial_sort(order, order + keep, order + n, before);
  else
    std::sort(order, order + n, before);
}

}  // namespace

void ordering_kernel(Kernel& kernel, int64_t (*keep)(const KernelRequest&),
                     bool (*descending)(const KernelRequest&)) {
  kernel.prepare([keep, descending](const KernelRequest& r) {
    const Lanes<1> from(r.attrs.integer("axis"), r.in[0].shape, {r.in[0].strides});
    const Lanes<1> to(r.attrs.integer("axis"), r.out[0].shape, {contiguous_strides(r.out[0].shape)});
    const int64_t n = from.length, k = keep(r);
    if (k < 0 || k > n)
      invalid(r.op + ": k = " + std::to_string(k) + " is out of range for an axis of size " +
              std::to_string(n));
    const bool down = descending(r);
    const Blocks blocks(from.count(), 4096 / std::max<int64_t>(1, n), 64);
    return dispatch(r.in[0].dtype, [&](auto zero) -> std::unique_ptr<PreparedKernel> {
      using T = decltype(zero);
      return make_prepared(
          [=](const KernelArgs& args) {
            for_blocks(args.pool, blocks, [&](int64_t block, int64_t begin, int64_t end) {
              int64_t* order = static_cast<int64_t*>(args.workspace) + block * n;
              for (int64_t lane = begin; lane < end; ++lane) {
                const T* x = args.input<T>(0) + from.loop.at(lane)[0];
                const int64_t out = to.loop.at(lane)[0];
                sort_positions(order, n, k, down, [&](int64_t i) { return widen(x[i * from.step[0]]); });
                for (int64_t i = 0; i < k; ++i) {
                  args.output<T>(0)[out + i * to.step[0]] = x[order[i] * from.step[0]];
                  args.output<int64_t>(1)[out + i * to.step[0]] = order[i];
                }
              }
            });
          },
          checked_mul(checked_mul(blocks.count, n), sizeof(int64_t)));
    });
  });
}

}  // namespace fovea
