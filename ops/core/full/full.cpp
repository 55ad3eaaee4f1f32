#include "ops/core/full/full.h"

#include "framework/backend/kernel.h"
#include "graph/ir/op.h"
#include "ops/shared/blocks.h"

namespace fovea {

FOVEA_OP(full) {
  op.doc("A tensor of one shape and element type whose elements are all `value`.")
      .attr("shape", Shape{})
      .attr("value", 0.0)
      .attr("dtype", DType::f32)
      .infer([](InferContext& c) { c.output(c.attrs.dtype("dtype"), c.attrs.shape("shape")); })
      .not_differentiable()
      .sample({}, {{"shape", Shape{2, 3}}, {"value", 1.5}})
      .sample({}, {{"value", 7.0}, {"dtype", DType::i64}})
      .sample_error({}, {{"shape", Shape{2, -3}}}, "negative size -3");
}

FOVEA_KERNEL(reference, full, fill) {
  kernel.priority(0).prepare([](const KernelRequest& r) -> std::unique_ptr<PreparedKernel> {
    // One element, converted as casts are, then repeated.
    const Array one = Array::full(DType::f64, {}, r.attrs.number("value")).cast(r.out[0].dtype);
    const int64_t n = r.out[0].size();
    return dispatch(r.out[0].dtype, [&](auto zero) -> std::unique_ptr<PreparedKernel> {
      using T = decltype(zero);
      const T value = *static_cast<const T*>(one.raw());
      const Blocks blocks(n, 65536 / sizeof(T));
      return make_prepared([value, blocks](const KernelArgs& args) {
        for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
          std::fill(args.output<T>(0) + begin, args.output<T>(0) + end, value);
        });
      });
    });
  });
}

Tensor full(Shape shape, double value, DType dtype, Source source) {
  return apply1("full", {}, {{"shape", std::move(shape)}, {"value", value}, {"dtype", dtype}}, source);
}
Tensor scalar(double value, DType dtype, Source source) { return full({}, value, dtype, source); }
Tensor zeros(Shape shape, DType dtype, Source source) { return full(std::move(shape), 0, dtype, source); }
Tensor ones(Shape shape, DType dtype, Source source) { return full(std::move(shape), 1, dtype, source); }
Tensor full_like(const Arg& x, double value) {
  const TensorType type = to_tensor(x, DType::f32).type();
  return full(type.shape, value, type.dtype, x.source);
}
Tensor zeros_like(const Arg& x) { return full_like(x, 0); }
Tensor ones_like(const Arg& x) { return full_like(x, 1); }

}  // namespace fovea
