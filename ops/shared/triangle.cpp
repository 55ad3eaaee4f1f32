#include "ops/shared/triangle.h"

#include "ops/core/add/add.h"
#include "ops/core/full/full.h"
#include "ops/core/iota/iota.h"
#include "ops/core/where/where.h"

namespace fovea {

void declare_triangle(OpDecl& op, Tensor (*inside)(const Arg& row, const Arg& column)) {
  op.input("x")
      .attr("diagonal", 0)
      .infer([](InferContext& c) {
        if (c.rank(0) < 2) c.fail("x has rank " + std::to_string(c.rank(0)) + ", at least 2 is needed");
        c.output(c.in[0]);
      })
      .decompose([inside](const OpArgs& a) {
        const Tensor& x = a.in[0];
        const Shape matrix{x.dim(-2), x.dim(-1)};
        const Tensor kept = inside(iota(matrix, 0) + a.attrs.integer("diagonal"), iota(matrix, 1));
        return Tensors{where(kept, x, scalar(0, x.dtype()))};
      })
      .sample({In{3, 4}})
      .sample({In{2, 3, 3}}, {{"diagonal", -1}})
      .sample_error({In{3}}, {}, "x has rank 1, at least 2 is needed");
}

}  // namespace fovea
