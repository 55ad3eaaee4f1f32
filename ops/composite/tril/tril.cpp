#include "ops/composite/tril/tril.h"

#include "ops/composite/greater_equal/greater_equal.h"
#include "ops/shared/triangle.h"

namespace fovea {

FOVEA_OP(tril) {
  op.doc(
      "The lower triangle of the matrices in the last two axes: elements with row + diagonal >= column; "
      "zeros elsewhere.");
  declare_triangle(op, greater_equal);
}

Tensor tril(const Arg& x, int64_t diagonal) {
  return apply1("tril", {to_tensor(x, DType::f32)}, {{"diagonal", diagonal}}, x.source);
}

}  // namespace fovea
