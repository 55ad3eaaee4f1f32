#include "ops/composite/var/var.h"

#include "ops/composite/mean/mean.h"
#include "ops/core/cast/cast.h"
#include "ops/core/sum/sum.h"
#include "ops/shared/gradients.h"
#include "ops/shared/reductions.h"

namespace fovea {

FOVEA_OP(var) {
  op.doc(
        "sum (x - mean x)^2 / (n - correction) over axes (all where the list is empty). Half types compute "
        "in f32.")
      .input("x", Types::floating)
      .attr("axes", Ints{}, "axes to reduce; negative ones count from the end")
      .attr("keepdims", false, "leave the reduced axes with size 1")
      .attr("correction", 0, "1 for the unbiased estimate")
      .infer(infer_reduction)
      .decompose([](const OpArgs& a) {
        const Ints& axes = a.attrs.ints("axes");
        const Tensor x = widen_half(a.in[0]);
        const Tensor away = x - mean(x, axes, true);
        const Tensor n = reduced_count(x, axes) - static_cast<double>(a.attrs.integer("correction"));
        return Tensors{cast(sum(away * away, axes, a.attrs.flag("keepdims")) / n, a.in[0].dtype())};
      })
      .sample({In{2, 3}}, {{"axes", Ints{1}}})
      .sample({In{2, 3, 4}}, {{"axes", Ints{0, 2}}, {"keepdims", true}, {"correction", 1}})
      .sample({In{5}})
      .sample_error({In{2, 3}}, {{"axes", Ints{2}}}, "axis 2 is out of range for rank 2");
}

Tensor var(const Arg& x, std::vector<int64_t> axes, int64_t correction, bool keepdims) {
  Tensor t = to_tensor(x, DType::f32);
  if (!is_floating(t.dtype())) t = cast(Arg(t, x.source), DType::f32);
  return apply1("var", {t}, {{"axes", std::move(axes)}, {"keepdims", keepdims}, {"correction", correction}},
                x.source);
}

}  // namespace fovea
