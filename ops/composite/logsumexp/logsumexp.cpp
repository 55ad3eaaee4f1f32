#include "ops/composite/logsumexp/logsumexp.h"

#include "ops/composite/is_inf/is_inf.h"
#include "ops/core/exp/exp.h"
#include "ops/core/log/log.h"
#include "ops/core/max/max.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/stop_gradient/stop_gradient.h"
#include "ops/core/sum/sum.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"
#include "ops/shared/reductions.h"

namespace fovea {
namespace {

// Infinities as 0: a shift by which nothing becomes inf - inf.
Tensor finite_or_zero(const Tensor& x) { return where(is_inf(x), 0.0, x); }

}  // namespace

FOVEA_OP(logsumexp) {
  op.doc(
        "log(sum(exp(x))) over axes (all where the list is empty), shifted by the largest element. Only "
        "-inf: -inf.")
      .input("x", Types::floating)
      .attr("axes", Ints{}, "axes to reduce; negative ones count from the end")
      .attr("keepdims", false, "leave the reduced axes with size 1")
      .infer([](InferContext& c) {
        infer_reduction(c);
        for (int64_t a : c.attrs.ints("axes"))
          if (c.shape(0)[a] == Dim(0)) c.fail("axis " + std::to_string(a) + " has size 0");
      })
      .decompose([](const OpArgs& a) {
        const Ints& axes = a.attrs.ints("axes");
        const Tensor shift = stop_gradient(finite_or_zero(max(a.in[0], axes, true)));
        const Tensor y = log(sum(exp(a.in[0] - shift), axes, true)) + shift;
        return Tensors{a.attrs.flag("keepdims") ? y
                                                : reshape(y, reduced_shape(a.in[0].shape(), axes, false))};
      })
      .gradient([](const GradArgs& a) {
        const Tensor y = expand_reduced(finite_or_zero(a.out[0]), a.in[0], a.attrs);
        return Tensors{expand_reduced(a.grad[0], a.in[0], a.attrs) * exp(a.in[0] - y)};
      })
      .sample({In{2, 5}}, {{"axes", Ints{1}}})
      .sample({In{2, 3, 4}}, {{"axes", Ints{0, 2}}, {"keepdims", true}})
      .sample({In{5}})
      .sample_error({In{2, 3}}, {{"axes", Ints{2}}}, "axis 2 is out of range for rank 2");
}

Tensor logsumexp(const Arg& x, std::vector<int64_t> axes, bool keepdims) {
  return apply1("logsumexp", {to_tensor(x, DType::f32)}, {{"axes", std::move(axes)}, {"keepdims", keepdims}},
                x.source);
}

}  // namespace fovea
