#include "ops/core/constant/constant.h"

#include "graph/ir/op.h"

namespace fovea {

FOVEA_OP(constant) {
  op.doc("Entry `index` of the module's table of constants. It has no kernel: the plan binds the memory.")
      .required_attr("index", int64_t{0})
      .required_attr("dtype", DType::f32)
      .required_attr("shape", Shape{})
      .infer([](InferContext& c) {
        if (c.attrs.integer("index") < 0)
          c.fail("index " + std::to_string(c.attrs.integer("index")) + " is negative");
        c.output(c.attrs.dtype("dtype"), c.attrs.shape("shape"));
      })
      .sample_error({}, {{"index", -1}, {"dtype", DType::f32}, {"shape", Shape{2}}}, "index -1 is negative");
}

}  // namespace fovea
