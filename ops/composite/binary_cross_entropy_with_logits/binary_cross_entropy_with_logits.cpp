#include "ops/composite/binary_cross_entropy_with_logits/binary_cross_entropy_with_logits.h"

#include "ops/composite/softplus/softplus.h"
#include "ops/shared/gradients.h"
#include "ops/shared/losses.h"

namespace fovea {

FOVEA_OP(binary_cross_entropy_with_logits) {
  op.doc(
        "-t log s(x) - (1 - t) log(1 - s(x)) with the logistic function s, as softplus(x) - x t, "
        "elementwise.")
      .input("logits", Types::floating)
      .input("targets", Types::floating)
      .attr("reduction", "mean", "mean, sum or none")
      .infer(infer_element_loss)
      .decompose([](const OpArgs& a) {
        return Tensors{reduce_loss(softplus(a.in[0]) - a.in[0] * a.in[1], a.attrs.text("reduction"))};
      })
      .sample({In({2, 3}).range(-3, 3), In({2, 3}).range(0, 1)})
      .sample({In({4}).range(-3, 3), In({4}).range(0, 1)}, {{"reduction", "none"}})
      .sample_error({In{2, 3}, In{2, 4}}, {}, "logits and targets differ in shape: axis 1 is 3 against 4");
}

Tensor binary_cross_entropy_with_logits(const Arg& logits, const Tensor& targets,
                                        const std::string& reduction) {
  return apply1("binary_cross_entropy_with_logits", {to_tensor(logits, DType::f32), targets},
                {{"reduction", reduction}}, logits.source);
}

}  // namespace fovea
