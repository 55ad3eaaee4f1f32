#include "ops/core/where/where.h"

#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(where) {
  op.doc(
        "y = a where cond is true, b elsewhere, with NumPy broadcasting over all three. A value that is not "
        "chosen has gradient 0, even where it is NaN or infinite.")
      .input("cond", Types::boolean)
      .input("a")
      .input("b")
      .pointwise()
      .infer([](InferContext& c) {
        c.same_dtype(1, 2);
        c.output(c.dtype(1), c.broadcast(c.broadcast(c.shape(0), c.shape(1)), c.shape(2)));
      })
      .gradient([](const GradArgs& a) {
        const Tensor &cond = a.in[0], &g = a.grad[0];
        return Tensors{Tensor(), reduce_if_needed(a, 1, [&] { return where(cond, g, 0); }),
                       reduce_if_needed(a, 2, [&] { return where(cond, 0, g); })};
      })
      .sample({bools({2, 3}), In{2, 3}, In{2, 3}})
      .sample({bools({2, 1, 3}), In{4, 1}, In{1}})
      .sample({bools({3}), bools({3}), bools({3})})
      .sample_error({In{2}, In{2}, In{2}}, {}, "cond must be bool")
      .sample_error({bools({2}), In{2}, ints({2}, 0, 2)}, {}, "a is f32 but b is i64");
}

FOVEA_KERNEL(reference, where, loops) { reference_select(kernel); }
FOVEA_KERNEL(cpu, where, simd) { simd_select(kernel); }

Tensor where(const Arg& cond, const Arg& a, const Arg& b) {
  const auto [x, y] = promoted(a, b);
  return apply1("where", {to_boolean(cond), x, y}, {}, cond.source);
}

}  // namespace fovea
