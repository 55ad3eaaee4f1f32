#include "ops/core/sum/sum.h"

#include "ops/shared/reductions.h"

namespace fovea {

FOVEA_OP(sum) {
  op.doc("Sum over axes (all where the list is empty). f16 and bf16 accumulate in f32; integers wrap around.")
      .input("x", Types::numeric)
      .attr("axes", Ints{}, "axes to reduce; negative ones count from the end")
      .attr("keepdims", false, "leave the reduced axes with size 1")
      .infer(infer_reduction)
      .gradient([](const GradArgs& a) { return Tensors{expand_reduced(a.grad[0], a.in[0], a.attrs)}; })
      .sample({In{2, 3}}, {{"axes", Ints{1}}})
      .sample({In{2, 3, 4}}, {{"axes", Ints{0, 2}}, {"keepdims", true}})
      .sample({In{4, 3, 2}}, {{"axes", Ints{1}}})
      .sample({In{5}})
      .sample_error({In{2, 3}}, {{"axes", Ints{2}}}, "axis 2 is out of range for rank 2")
      .sample_error({In{2, 3}}, {{"axes", Ints{1, -1}}}, "axis 1 is given twice");
}

FOVEA_KERNEL(reference, sum, loops) {
  reference_reduction(kernel, 0.0, [](auto acc, auto x) { return wrapping_add(acc, x); });
}
FOVEA_KERNEL(cpu, sum, simd) { simd_reduction(kernel); }

Tensor sum(const Arg& x, std::vector<int64_t> axes, bool keepdims) {
  return apply1("sum", {to_tensor(x, DType::f32)}, {{"axes", axes}, {"keepdims", keepdims}}, x.source);
}

}  // namespace fovea
