#include "ops/composite/any/any.h"

#include "ops/composite/not_equal/not_equal.h"
#include "ops/core/cast/cast.h"
#include "ops/core/sum/sum.h"
#include "ops/shared/pointwise.h"
#include "ops/shared/reductions.h"

namespace fovea {

FOVEA_OP(any) {
  op.doc("True where an element over axes (all axes where the list is empty) is true; false for no elements.")
      .input("x", Types::boolean)
      .attr("axes", Ints{}, "axes to reduce; negative ones count from the end")
      .attr("keepdims", false, "leave the reduced axes with size 1")
      .infer(infer_reduction)
      .decompose([](const OpArgs& a) {
        const Tensor hits = sum(cast(a.in[0], DType::i64), a.attrs.ints("axes"), a.attrs.flag("keepdims"));
        return Tensors{not_equal(hits, 0)};
      })
      .not_differentiable()
      .sample({bools({2, 3})}, {{"axes", Ints{1}}})
      .sample({bools({2, 0})}, {{"axes", Ints{1}}, {"keepdims", true}})
      .sample_error({In{2, 3}}, {}, "x must be");
}

FOVEA_KERNEL(cpu, any, simd) { simd_reduction(kernel); }

Tensor any(const Arg& x, std::vector<int64_t> axes, bool keepdims) {
  return apply1("any", {to_boolean(x)}, {{"axes", std::move(axes)}, {"keepdims", keepdims}}, x.source);
}

}  // namespace fovea
