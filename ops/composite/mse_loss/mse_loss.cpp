#include "ops/composite/mse_loss/mse_loss.h"

#include "ops/shared/gradients.h"
#include "ops/shared/losses.h"

namespace fovea {

FOVEA_OP(mse_loss) {
  op.doc("(x - target)^2, elementwise, then the mean, the sum or all of them.")
      .input("x", Types::floating)
      .input("target", Types::floating)
      .attr("reduction", "mean", "mean, sum or none")
      .infer(infer_element_loss)
      .decompose([](const OpArgs& a) {
        const Tensor d = a.in[0] - a.in[1];
        return Tensors{reduce_loss(d * d, a.attrs.text("reduction"))};
      })
      .sample({In{2, 3}, In{2, 3}})
      .sample({In{2, 3}, In{2, 3}}, {{"reduction", "sum"}})
      .sample_error({In{2, 3}, In{3}}, {}, "x and target differ in shape: rank 2 against 1");
}

Tensor mse_loss(const Arg& x, const Tensor& target, const std::string& reduction) {
  return apply1("mse_loss", {to_tensor(x, DType::f32), target}, {{"reduction", reduction}}, x.source);
}

}  // namespace fovea
