#include "ops/core/maximum/maximum.h"

#include "ops/core/equal/equal.h"
#include "ops/core/less/less.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(maximum) {
  op.doc(
        "y = the larger of a and b, elementwise with NumPy broadcasting; NaN where either is NaN. Where both "
        "are equal each gets half of the gradient.")
      .input("a", Types::numeric)
      .input("b", Types::numeric)
      .pointwise()
      .commutative()
      .gradient([](const GradArgs& a) {
        const Tensor tie = where(equal(a.in[0], a.in[1]), 0.5 * a.grad[0], 0);
        const Tensor first = less(a.in[1], a.in[0]), second = less(a.in[0], a.in[1]);
        return Tensors{reduce_if_needed(a, 0, [&] { return where(first, a.grad[0], tie); }),
                       reduce_if_needed(a, 1, [&] { return where(second, a.grad[0], tie); })};
      })
      .sample({In({2, 3}).separate(), In({2, 3}).separate().range(-1.2, 1.1)})
      .sample({In({2, 1, 3}).separate(), In({4, 1}).separate().range(-1.2, 1.1)})
      .sample({ints({4}, -5, 5), ints({4}, -5, 5)})
      .sample_error({In{2, 3}, In{2, 4}}, {}, "axis 1 is 3 against 4");
}

FOVEA_KERNEL(reference, maximum, loops) {
  reference_binary(kernel, [](auto a, auto b) { return a != a ? a : b != b ? b : a > b ? a : b; });
}
FOVEA_KERNEL(cpu, maximum, simd) { simd_binary(kernel); }

Tensor maximum(const Arg& a, const Arg& b) { return apply_binary("maximum", a, b); }

}  // namespace fovea
