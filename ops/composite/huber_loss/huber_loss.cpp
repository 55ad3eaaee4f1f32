#include "ops/composite/huber_loss/huber_loss.h"

#include "ops/composite/abs/abs.h"
#include "ops/core/less/less.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"
#include "ops/shared/losses.h"

namespace fovea {

FOVEA_OP(huber_loss) {
  op.doc(
        "With d = x - target: d^2 / 2 where |d| <= delta, delta (|d| - delta / 2) beyond (Huber 1964), "
        "elementwise.")
      .input("x", Types::floating)
      .input("target", Types::floating)
      .attr("delta", 1.0)
      .attr("reduction", "mean", "mean, sum or none")
      .infer([](InferContext& c) {
        const double delta = c.attrs.number("delta");
        if (!(delta > 0)) c.fail("delta " + std::to_string(delta) + " is not positive");
        infer_element_loss(c);
      })
      .decompose([](const OpArgs& a) {
        const double delta = a.attrs.number("delta");
        const Tensor d = a.in[0] - a.in[1], size = abs(d);
        const Tensor loss = where(less(delta, size), delta * (size - 0.5 * delta), 0.5 * (d * d));
        return Tensors{reduce_loss(loss, a.attrs.text("reduction"))};
      })
      .sample({In({2, 3}).range(0.5, 1), In({2, 3}).range(-0.1, 0.3)}, {{"delta", 2.0}})
      .sample({In({2, 3}).range(0.7, 1), In({2, 3}).range(-0.1, 0.3)},
              {{"delta", 0.2}, {"reduction", "none"}})
      .sample_error({In{2}, In{2}}, {{"delta", 0.0}}, "delta 0.000000 is not positive");
}

Tensor huber_loss(const Arg& x, const Tensor& target, double delta, const std::string& reduction) {
  return apply1("huber_loss", {to_tensor(x, DType::f32), target},
                {{"delta", delta}, {"reduction", reduction}}, x.source);
}

Tensor smooth_l1_loss(const Arg& x, const Tensor& target, double beta, const std::string& reduction) {
  SourceScope scope(x.source);
  return huber_loss(x, target, beta, reduction) / beta;
}

}  // namespace fovea
