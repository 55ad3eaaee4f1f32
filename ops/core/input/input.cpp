#include "ops/core/input/input.h"

#include "graph/ir/op.h"

namespace fovea {

FOVEA_OP(input) {
  op.doc("An argument of the function. It has no kernel: its value is given by the caller.")
      .attr("name", "")
      .required_attr("dtype", DType::f32)
      .required_attr("shape", Shape{})
      .infer([](InferContext& c) { c.output(c.attrs.dtype("dtype"), c.attrs.shape("shape")); });
}

}  // namespace fovea
