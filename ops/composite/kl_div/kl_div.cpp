#include "ops/composite/kl_div/kl_div.h"

#include "ops/core/equal/equal.h"
#include "ops/core/exp/exp.h"
#include "ops/core/extent/extent.h"
#include "ops/core/log/log.h"
#include "ops/core/sum/sum.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"
#include "ops/shared/losses.h"

namespace fovea {
namespace {

// t log t, 0 at 0: the logarithm is taken of 1 there, so that its gradient stays finite.
Tensor t_log_t(const Tensor& t) { return t * log(where(equal(t, 0.0), 1.0, t)); }

}  // namespace

FOVEA_OP(kl_div) {
  op.doc(
        "t (log t - x), elementwise: Kullback-Leibler divergence from log-probabilities x to the "
        "distribution t.")
      .input("x", Types::floating)
      .input("target", Types::floating)
      .attr("reduction", "mean", "mean, sum, none or batchmean (the sum divided by the size of axis 0)")
      .attr("log_target", false, "the target is given as logarithms")
      .infer([](InferContext& c) {
        if (c.attrs.text("reduction") != "batchmean") return infer_element_loss(c);
        c.same_dtype(0, 1);
        c.same_shape(0, 1);
        if (c.rank(0) == 0) c.fail("reduction batchmean needs a batch axis, x has rank 0");
        c.output(c.dtype(0), {});
      })
      .decompose([](const OpArgs& a) {
        const Tensor &x = a.in[0], &t = a.in[1];
        const Tensor loss = a.attrs.flag("log_target") ? exp(t) * (t - x) : t_log_t(t) - t * x;
        const std::string& reduction = a.attrs.text("reduction");
        if (reduction == "batchmean") return Tensors{sum(loss) / extent(x.dim(0), x.dtype())};
        return Tensors{reduce_loss(loss, reduction)};
      })
      .sample({In({2, 3}).range(-3, -0.1), In({2, 3}).range(0.1, 1)})
      .sample({In({2, 3}).range(-3, -0.1), In({2, 3}).range(-3, -0.1)},
              {{"reduction", "batchmean"}, {"log_target", true}})
      .sample_error({In{2}, In{2}}, {{"reduction", "most"}}, "reduction is 'most', not mean, sum or none");
}

Tensor kl_div(const Arg& x, const Tensor& target, const std::string& reduction, bool log_target) {
  return apply1("kl_div", {to_tensor(x, DType::f32), target},
                {{"reduction", reduction}, {"log_target", log_target}}, x.source);
}

}  // namespace fovea
