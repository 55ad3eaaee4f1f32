#include "ops/composite/nll_loss/nll_loss.h"

#include "ops/shared/gradients.h"
#include "ops/shared/losses.h"

namespace fovea {

FOVEA_OP(nll_loss) {
  op.doc("-x[label] for each row of log-probabilities x [..., V] and labels [...].")
      .input("x", Types::floating)
      .input("labels", Types::index)
      .attr("ignore_index", -100, "rows with this label have no loss and no gradient")
      .attr("reduction", "mean", "mean (over the rows that count), sum or none")
      .infer([](InferContext& c) { c.output(c.dtype(0), infer_label_loss(c, 1)); })
      .decompose([](const OpArgs& a) {
        const Labels labels(a.in[1], a.in[0].dim(-1), a.attrs.integer("ignore_index"));
        return Tensors{reduce_row_losses(-at_labels(a.in[0], labels), labels, a.attrs.text("reduction"))};
      })
      .sample({In{3, 5}, ints({3}, 0, 5)})
      .sample({In{2, 3, 4}, ints({2, 3}, 0, 4, DType::i32)}, {{"ignore_index", 1}, {"reduction", "none"}})
      .sample_error({In{3, 5}, ints({2}, 0, 5)}, {}, "axis 0 of labels is 2, the rows' is 3");
}

Tensor nll_loss(const Arg& x, const Tensor& labels, int64_t ignore_index, const std::string& reduction) {
  return apply1("nll_loss", {to_tensor(x, DType::f32), labels},
                {{"ignore_index", ignore_index}, {"reduction", reduction}}, x.source);
}

}  // namespace fovea
