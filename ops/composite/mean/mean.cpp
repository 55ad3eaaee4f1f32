#include "ops/composite/mean/mean.h"

#include "ops/core/cast/cast.h"
#include "ops/core/sum/sum.h"
#include "ops/shared/gradients.h"
#include "ops/shared/reductions.h"

namespace fovea {

FOVEA_OP(mean) {
  op.doc("Mean over axes (all where the list is empty). Half types compute in f32. No elements: NaN.")
      .input("x", Types::floating)
      .attr("axes", Ints{}, "axes to reduce; negative ones count from the end")
      .attr("keepdims", false, "leave the reduced axes with size 1")
      .infer(infer_reduction)
      .decompose([](const OpArgs& a) {
        const Ints& axes = a.attrs.ints("axes");
        const Tensor x = widen_half(a.in[0]);
        return Tensors{
            cast(sum(x, axes, a.attrs.flag("keepdims")) / reduced_count(x, axes), a.in[0].dtype())};
      })
      .sample({In{2, 3}}, {{"axes", Ints{1}}})
      .sample({In{2, 3, 4}}, {{"axes", Ints{0, 2}}, {"keepdims", true}})
      .sample({In{5}})
      .sample_error({In{2, 3}}, {{"axes", Ints{2}}}, "axis 2 is out of range for rank 2")
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

Tensor mean(const Arg& x, std::vector<int64_t> axes, bool keepdims) {
  Tensor t = to_tensor(x, DType::f32);
  if (!is_floating(t.dtype())) t = cast(Arg(t, x.source), DType::f32);
  return apply1("mean", {t}, {{"axes", std::move(axes)}, {"keepdims", keepdims}}, x.source);
}

}  // namespace fovea
