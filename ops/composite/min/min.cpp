#include "ops/composite/min/min.h"

#include "ops/core/max/max.h"
#include "ops/shared/reductions.h"

namespace fovea {

FOVEA_OP(min) {
  op.doc(
        "Smallest element over axes (all where the list is empty). NaN wins. Ties share the gradient "
        "equally.")
      .input("x", Types::numeric)
      .attr("axes", Ints{}, "axes to reduce; negative ones count from the end")
      .attr("keepdims", false, "leave the reduced axes with size 1")
      .infer([](InferContext& c) {
        infer_reduction(c);
        for (int64_t axis : c.attrs.ints("axes")) check_not_empty(c, axis, "smallest");
      })
      .decompose([](const OpArgs& a) {
        return Tensors{mirrored(max(mirrored(a.in[0]), a.attrs.ints("axes"), a.attrs.flag("keepdims")))};
      })
      .sample({In({2, 3}).separate()}, {{"axes", Ints{1}}})
      .sample({In({2, 3, 4}).separate()}, {{"axes", Ints{0, 2}}, {"keepdims", true}})
      .sample({In({5}).separate()})
      .sample({ints({2, 3}, 0, 200, DType::u8)})
      .sample_error({In{2, 3}}, {{"axes", Ints{2}}}, "axis 2 is out of range for rank 2");
}

FOVEA_KERNEL(cpu, min, simd) { simd_reduction(kernel); }

Tensor min(const Arg& x, std::vector<int64_t> axes, bool keepdims) {
  return apply1("min", {to_tensor(x, DType::f32)}, {{"axes", std::move(axes)}, {"keepdims", keepdims}},
                x.source);
}

}  // namespace fovea
