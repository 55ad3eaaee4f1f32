#include "ops/composite/argmin/argmin.h"

#include "ops/core/argmax/argmax.h"
#include "ops/shared/reductions.h"

namespace fovea {

FOVEA_OP(argmin) {
  op.doc(
        "Position (i64) of the smallest element along one axis: the first of several. NaN counts as "
        "smallest.")
      .input("x", Types::numeric)
      .attr("axis", -1, "the axis that is searched")
      .attr("keepdims", false, "leave the axis with size 1")
      .infer([](InferContext& c) {
        const int64_t axis = c.axis("axis", c.rank(0));
        check_not_empty(c, axis, "smallest");
        c.output(DType::i64, reduced_shape(c.shape(0), {axis}, c.attrs.flag("keepdims")));
      })
      .decompose([](const OpArgs& a) {
        return Tensors{argmax(mirrored(a.in[0]), a.attrs.integer("axis"), a.attrs.flag("keepdims"))};
      })
      .not_differentiable()
      .sample({In({2, 5}).separate()})
      .sample({In({4, 3, 2}).separate()}, {{"axis", 1}, {"keepdims", true}})
      .sample_error({In{2, 3}}, {{"axis", 2}}, "axis 2 is out of range for rank 2");
}

FOVEA_KERNEL(cpu, argmin, simd) { simd_arg_reduction(kernel); }

Tensor argmin(const Arg& x, int64_t axis, bool keepdims) {
  return apply1("argmin", {to_tensor(x, DType::f32)}, {{"axis", axis}, {"keepdims", keepdims}}, x.source);
}

}  // namespace fovea
