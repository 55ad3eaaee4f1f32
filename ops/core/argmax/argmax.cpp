#include "ops/core/argmax/argmax.h"

#include "ops/shared/reductions.h"

namespace fovea {

FOVEA_OP(argmax) {
  op.doc("Position (i64) of the largest element along one axis: the first of several. NaN counts as largest.")
      .input("x", Types::numeric)
      .attr("axis", -1, "the axis that is searched")
      .attr("keepdims", false, "leave the axis with size 1")
      .infer([](InferContext& c) {
        const int64_t axis = c.axis("axis", c.rank(0));
        check_not_empty(c, axis, "largest");
        c.output(DType::i64, reduced_shape(c.shape(0), {axis}, c.attrs.flag("keepdims")));
      })
      .not_differentiable()
      .sample({In({2, 5}).separate()})
      .sample({In({4, 3, 2}).separate()}, {{"axis", 1}, {"keepdims", true}})
      .sample({ints({3, 4}, 0, 3)}, {{"axis", 0}})
      .sample_error({In{2, 3}}, {{"axis", 2}}, "axis 2 is out of range for rank 2")
      .sample_error({In{2, 0}}, {}, "axis 1 has size 0");
}

FOVEA_KERNEL(reference, argmax, loops) {
  kernel.priority(0).strided().prepare([](const KernelRequest& r) {
    const int64_t axis = r.attrs.integer("axis"), n = r.in[0].shape[axis], step = r.in[0].strides[axis];
    const Ints kept_axes = other_axes(r.in[0].rank(), {axis});
    const StridedLoop<1> kept(pick(r.in[0].shape, kept_axes), {pick(r.in[0].strides, kept_axes)});
    if (n == 0 && kept.size() > 0)
      invalid("argmax: axis " + std::to_string(axis) + " has size 0: there is no largest element");
    return dispatch(r.in[0].dtype, [&](auto zero) -> std::unique_ptr<PreparedKernel> {
      using T = decltype(zero);
      return make_prepared([=](const KernelArgs& args) {
        const T* x = args.input<T>(0);
        int64_t* y = args.output<int64_t>(0);
        kept.each([&](const auto& at) {
          const T* row = x + at[0];
          int64_t best = 0;
          Wide<T> largest = widen(row[0]);
          for (int64_t i = 1; i < n && !is_not_a_number(largest); ++i) {
            const Wide<T> v = widen(row[i * step]);
            if (v > largest || is_not_a_number(v)) best = i, largest = v;
          }
          *y++ = best;
        });
      });
    });
  });
}

FOVEA_KERNEL(cpu, argmax, simd) { simd_arg_reduction(kernel); }

Tensor argmax(const Arg& x, int64_t axis, bool keepdims) {
  return apply1("argmax", {to_tensor(x, DType::f32)}, {{"axis", axis}, {"keepdims", keepdims}}, x.source);
}

}  // namespace fovea
