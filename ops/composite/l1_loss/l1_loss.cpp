#include "ops/composite/l1_loss/l1_loss.h"

#include "ops/composite/abs/abs.h"
#include "ops/shared/gradients.h"
#include "ops/shared/losses.h"

namespace fovea {

FOVEA_OP(l1_loss) {
  op.doc("|x - target|, elementwise, then the mean, the sum or all of them.")
      .input("x", Types::floating)
      .input("target", Types::floating)
      .attr("reduction", "mean", "mean, sum or none")
      .infer(infer_element_loss)
      .decompose([](const OpArgs& a) {
        return Tensors{reduce_loss(abs(a.in[0] - a.in[1]), a.attrs.text("reduction"))};
      })
      .sample({In({2, 3}).range(0.5, 1), In({2, 3}).range(-1, 0.3)})
      .sample({In({2, 3}).range(0.5, 1), In({2, 3}).range(-1, 0.3)}, {{"reduction", "none"}})
      .sample_error({In{2, 3}, In({2, 3}, DType::f64)}, {}, "x is f32 but target is f64");
}

Tensor l1_loss(const Arg& x, const Tensor& target, const std::string& reduction) {
  return apply1("l1_loss", {to_tensor(x, DType::f32), target}, {{"reduction", reduction}}, x.source);
}

}  // namespace fovea
