#include "ops/core/cumsum/cumsum.h"

#include "graph/ir/op.h"
#include "ops/shared/lanes.h"

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
  kernel.priority(0);
  running_kernel(
      kernel, 0, [](auto acc, auto x) { return wrapping_add(acc, x); },
      [](const KernelRequest& r) { return r.attrs.flag("reverse"); });
}

Tensor cumsum(const Arg& x, int64_t axis, bool reverse) {
  return apply1("cumsum", {to_tensor(x, DType::f32)}, {{"axis", axis}, {"reverse", reverse}}, x.source);
}

}  // namespace fovea
