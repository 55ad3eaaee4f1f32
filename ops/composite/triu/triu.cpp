#include "ops/composite/triu/triu.h"

#include "ops/composite/less_equal/less_equal.h"
#include "ops/shared/triangle.h"

namespace fovea {

FOVEA_OP(triu) {
  op.doc(
      "The upper triangle of the matrices in the last two axes: elements with row + diagonal <= column; "
      "zeros elsewhere.");
  declare_triangle(op, less_equal);
}

Tensor triu(const Arg& x, int64_t diagonal) {
  return apply1("triu", {to_tensor(x, DType::f32)}, {{"diagonal", diagonal}}, x.source);
}

}  // namespace fovea
