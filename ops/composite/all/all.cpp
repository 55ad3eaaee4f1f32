#include "ops/composite/all/all.h"

#include "ops/core/cast/cast.h"
#include "ops/core/equal/equal.h"
#include "ops/core/logical_not/logical_not.h"
#include "ops/core/sum/sum.h"
#include "ops/shared/pointwise.h"
#include "ops/shared/reductions.h"

namespace fovea {

FOVEA_OP(all) {
  op.doc(
        "True where all elements over axes (all axes where the list is empty) are true; true for no "
        "elements.")
      .input("x", Types::boolean)
      .attr("axes", Ints{}, "axes to reduce; negative ones count from the end")
      .attr("keepdims", false, "leave the reduced axes with size 1")
      .infer(infer_reduction)
      .decompose([](const OpArgs& a) {
        const Tensor misses =
            sum(cast(logical_not(a.in[0]), DType::i64), a.attrs.ints("axes"), a.attrs.flag("keepdims"));
        return Tensors{equal(misses, 0)};
      })
      .not_differentiable()
      .sample({bools({2, 3})}, {{"axes", Ints{1}}})
      .sample({bools({2, 0})}, {{"axes", Ints{1}}, {"keepdims", true}})
      .sample_error({In{2, 3}}, {}, "x must be");
}

FOVEA_KERNEL(cpu, all, simd) { simd_reduction(kernel); }

Tensor All::operator()(const Arg& x, std::vector<int64_t> axes, bool keepdims) const {
  return apply1("all", {to_boolean(x)}, {{"axes", std::move(axes)}, {"keepdims", keepdims}}, x.source);
}

}  // namespace fovea
