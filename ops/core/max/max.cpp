#include "ops/core/max/max.h"

#include "ops/core/cast/cast.h"
#include "ops/core/div/div.h"
#include "ops/core/equal/equal.h"
#include "ops/core/mul/mul.h"
#include "ops/core/sum/sum.h"
#include "ops/shared/reductions.h"

namespace fovea {

FOVEA_OP(max) {
  op.doc(
        "Largest element over axes (all where the list is empty). NaN wins. Ties share the gradient equally.")
      .input("x", Types::numeric)
      .attr("axes", Ints{}, "axes to reduce; negative ones count from the end")
      .attr("keepdims", false, "leave the reduced axes with size 1")
      .infer([](InferContext& c) {
        infer_reduction(c);
        for (int64_t axis : c.attrs.ints("axes")) check_not_empty(c, axis, "largest");
      })
      .gradient([](const GradArgs& a) {
        const Ints& axes = a.attrs.ints("axes");
        const Tensor hit = cast(equal(a.in[0], expand_reduced(a.out[0], a.in[0], a.attrs)), a.in[0].dtype());
        const Tensor share = hit / sum(hit, axes, true);
        return Tensors{expand_reduced(a.grad[0], a.in[0], a.attrs) * share};
      })
      .sample({In({2, 3}).separate()}, {{"axes", Ints{1}}})
      .sample({In({2, 3, 4}).separate()}, {{"axes", Ints{0, 2}}, {"keepdims", true}})
      .sample({In({5}).separate()})
      .sample_error({In{2, 3}}, {{"axes", Ints{2}}}, "axis 2 is out of range for rank 2")
      .sample_error({In{2, 0}}, {{"axes", Ints{1}}}, "axis 1 has size 0: there is no largest element");
}

FOVEA_KERNEL(reference, max, loops) {
  // Written so that a NaN on either side stays.
  reference_reduction(kernel, -std::numeric_limits<double>::infinity(),
                      [](auto acc, auto x) { return x > acc || is_not_a_number(x) ? x : acc; });
}
FOVEA_KERNEL(cpu, max, simd) { simd_reduction(kernel); }

Tensor max(const Arg& x, std::vector<int64_t> axes, bool keepdims) {
  return apply1("max", {to_tensor(x, DType::f32)}, {{"axes", axes}, {"keepdims", keepdims}}, x.source);
}

}  // namespace fovea
