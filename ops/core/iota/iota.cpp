#include "ops/core/iota/iota.h"

#include "framework/backend/kernel.h"
#include "graph/ir/op.h"
#include "ops/shared/blocks.h"
#include "ops/shared/widen.h"

namespace fovea {

FOVEA_OP(iota) {
  op.doc("y[i_0, ..., i_k, ...] = i_axis: positions along one axis.")
      .required_attr("shape", Shape{})
      .attr("axis", 0)
      .attr("dtype", DType::i64)
      .infer([](InferContext& c) {
        const Shape& shape = c.attrs.shape("shape");
        c.axis("axis", static_cast<int64_t>(shape.size()));
        if (c.attrs.dtype("dtype") == DType::boolean) c.fail("dtype must be numeric, got bool");
        c.output(c.attrs.dtype("dtype"), shape);
      })
      .not_differentiable()
      .sample({}, {{"shape", Shape{5}}})
      .sample({}, {{"shape", Shape{2, 3, 4}}, {"axis", 1}, {"dtype", DType::f32}})
      .sample_error({}, {{"shape", Shape{2}}, {"axis", 1}}, "axis 1 is out of range for rank 1");
}

FOVEA_KERNEL(reference, iota, loops) {
  kernel.priority(0).prepare([](const KernelRequest& r) {
    const int64_t axis = r.attrs.integer("axis"), n = r.out[0].shape[axis];
    int64_t inner = 1;
    for (int64_t d = axis + 1; d < r.out[0].rank(); ++d) inner *= r.out[0].shape[d];
    const Blocks blocks(r.out[0].size(), 16384);
    return dispatch(r.out[0].dtype, [&](auto zero) -> std::unique_ptr<PreparedKernel> {
      using T = decltype(zero);
      return make_prepared([=](const KernelArgs& args) {
        for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
          T* y = args.output<T>(0);
          for (int64_t i = begin; i < end; ++i) y[i] = narrow<T>(static_cast<Wide<T>>(i / inner % n));
        });
      });
    });
  });
}

Tensor iota(Shape shape, int64_t axis, DType dtype, Source source) {
  return apply1("iota", {}, {{"shape", std::move(shape)}, {"axis", axis}, {"dtype", dtype}}, source);
}
Tensor arange(Dim n, DType dtype, Source source) { return iota({n}, 0, dtype, source); }

}  // namespace fovea
