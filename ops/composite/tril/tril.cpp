#include "ops/composite/tril/tril.h"

#include "graph/ir/op.h"
#include "ops/composite/greater_equal/greater_equal.h"
#include "ops/core/add/add.h"
#include "ops/core/full/full.h"
#include "ops/core/iota/iota.h"
#include "ops/core/where/where.h"

namespace fovea {

FOVEA_OP(tril) {
  op.doc(
        "The lower triangle of the matrices in the last two axes: elements with row + diagonal >= column; "
        "zeros elsewhere.")
      .input("x")
      .attr("diagonal", 0)
      .infer([](InferContext& c) {
        if (c.rank(0) < 2) c.fail("x has rank " + std::to_string(c.rank(0)) + ", at least 2 is needed");
        c.output(c.in[0]);
      })
      .decompose([](const OpArgs& a) {
        const Tensor& x = a.in[0];
        const Shape matrix{x.dim(-2), x.dim(-1)};
        const Tensor inside = greater_equal(iota(matrix, 0) + a.attrs.integer("diagonal"), iota(matrix, 1));
        return Tensors{where(inside, x, scalar(0, x.dtype()))};
      })
      .sample({In{3, 4}})
      .sample({In{2, 3, 3}}, {{"diagonal", -1}})
      .sample_error({In{3}}, {}, "x has rank 1, at least 2 is needed");
}

Tensor tril(const Arg& x, int64_t diagonal) {
  return apply1("tril", {to_tensor(x, DType::f32)}, {{"diagonal", diagonal}}, x.source);
}

}  // namespace fovea
