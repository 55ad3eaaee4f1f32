#include "ops/core/cumsum/cumsum.h"

#include "framework/backend/kernel.h"
#include "graph/ir/op.h"
#include "ops/shared/blocks.h"
#include "ops/shared/lanes.h"
#include "ops/shared/widen.h"

namespace fovea {

FOVEA_OP(cumsum) {
  op.doc("Running sums along one axis, from its beginning or (reverse) from its end.")
      .input("x", Types::numeric)
      .attr("axis", -1)
      .attr("reverse", false)
      .infer([](InferContext& c) {
        c.axis("axis", c.rank(0));
        c.output(c.in[0]);
      })
      .gradient([](const GradArgs& a) {
        return Tensors{cumsum(a.grad[0], a.attrs.integer("axis"), !a.attrs.flag("reverse"))};
      })
      .sample({In{2, 5}})
      .sample({In{3, 4, 2}}, {{"axis", 1}, {"reverse", true}})
      .sample({In{4, 3}}, {{"axis", 0}})
      .sample_error({In{2, 3}}, {{"axis", 2}}, "axis 2 is out of range for rank 2");
}

FOVEA_KERNEL(reference, cumsum, loops) {
  kernel.priority(0).strided().prepare([](const KernelRequest& r) {
    const Lanes<2> lanes(r.attrs.integer("axis"), r.in[0].shape,
                         {r.in[0].strides, contiguous_strides(r.out[0].shape)});
    const bool reverse = r.attrs.flag("reverse");
    const Blocks blocks(lanes.count(), 16384 / std::max<int64_t>(1, lanes.length));
    return dispatch(r.in[0].dtype, [&](auto zero) -> std::unique_ptr<PreparedKernel> {
      using T = decltype(zero);
      return make_prepared([=](const KernelArgs& args) {
        for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
          lanes.loop.each(begin, end, [&](const auto& at) {
            Wide<T> sum = 0;
            for (int64_t i = 0; i < lanes.length; ++i) {
              const int64_t k = reverse ? lanes.length - 1 - i : i;
              sum = wrapping_add(sum, widen(args.input<T>(0)[at[0] + k * lanes.step[0]]));
              args.output<T>(0)[at[1] + k * lanes.step[1]] = narrow<T>(sum);
            }
          });
        });
      });
    });
  });
}

Tensor cumsum(const Arg& x, int64_t axis, bool reverse) {
  return apply1("cumsum", {to_tensor(x, DType::f32)}, {{"axis", axis}, {"reverse", reverse}}, x.source);
}

}  // namespace fovea
