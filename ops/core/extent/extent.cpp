#include "ops/core/extent/extent.h"

#include <cstring>

#include "framework/backend/kernel.h"
#include "graph/ir/op.h"
#include "ops/core/full/full.h"
#include "ops/shared/indexing.h"

namespace fovea {

FOVEA_OP(extent) {
  op.doc(
        "The product of sizes as a 0-d tensor: how a size that is a symbol becomes a number to compute with.")
      .required_attr("sizes", Shape{})
      .attr("dtype", DType::i64)
      .infer([](InferContext& c) {
        for (const Dim& d : c.attrs.shape("sizes"))
          if (d.is_const() && d.value() < 0) c.fail("a size is negative: " + d.str());
        c.output(c.attrs.dtype("dtype"), {});
      })
      .not_differentiable()
      .sample({}, {{"sizes", Shape{2, 3}}})
      .sample({}, {{"sizes", Shape{}}, {"dtype", DType::f32}})
      .sample_error({}, {{"sizes", Shape{2, -1}}}, "a size is negative: -1");
}

FOVEA_KERNEL(reference, extent, fill) {
  kernel.priority(0).prepare([](const KernelRequest& r) -> std::unique_ptr<PreparedKernel> {
    const Array value = Array::scalar(product(sizes_of(r.attrs, "sizes"))).cast(r.out[0].dtype);
    return make_prepared(
        [value](const KernelArgs& args) { std::memcpy(args.out[0], value.raw(), value.nbytes()); });
  });
}

Tensor extent(Shape sizes, DType dtype, Source source) {
  if (is_concrete(sizes)) return scalar(static_cast<double>(product(evaluate(sizes, {}))), dtype, source);
  return apply1("extent", {}, {{"sizes", std::move(sizes)}, {"dtype", dtype}}, source);
}

}  // namespace fovea
