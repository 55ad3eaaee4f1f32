#include "ops/core/pow/pow.h"

#include <cmath>

#include "ops/core/equal/equal.h"
#include "ops/core/log/log.h"
#include "ops/core/mul/mul.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {
namespace {

int64_t integer_power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == -1) return exponent % 2 == 0 ? 1 : -1;
    return base == 1 ? 1 : 0;
  }
  int64_t y = 1;
  for (; exponent > 0; exponent /= 2, base = wrapping_mul(base, base))
    if (exponent % 2 == 1) y = wrapping_mul(y, base);
  return y;
}

}  // namespace

FOVEA_OP(pow) {
  op.doc(
        "y = a^b, elementwise with NumPy broadcasting. An integer to a negative power truncates toward 0 "
        "(0^-1 is 0). The gradient of b is a^b ln a, and 0 where a is 0.")
      .input("a", Types::numeric)
      .input("b", Types::numeric)
      .pointwise()
      .gradient([](const GradArgs& a) {
        const Tensor &x = a.in[0], &y = a.in[1], &g = a.grad[0];
        // The inner `where` keeps infinities out of the branch that is not taken, and so out of its gradient.
        const auto base = [&] {
          const Tensor flat = equal(y, 0);
          return where(flat, 0, g * y * apply_binary("pow", x, where(flat, 1, y - 1)));
        };
        const auto exponent = [&] { return g * a.out[0] * log(where(equal(x, 0), 1, x)); };
        return Tensors{reduce_if_needed(a, 0, base), reduce_if_needed(a, 1, exponent)};
      })
      .sample({In({2, 3}).range(0.5, 2), In{2, 3}})
      .sample({In({2, 1, 3}).range(0.5, 2), In({4, 1}).range(-2, 2)})
      .sample({ints({3}, -4, 4), ints({3}, 0, 5)})
      .sample_error({In{2, 3}, In{2, 4}}, {}, "axis 1 is 3 against 4");
}

FOVEA_KERNEL(reference, pow, loops) {
  reference_binary(kernel, [](auto a, auto b) {
    if constexpr (std::is_integral_v<decltype(a)>) {
      return integer_power(a, b);
    } else {
      return std::pow(a, b);
    }
  });
}
FOVEA_KERNEL(cpu, pow, simd) { simd_binary(kernel); }

Tensor pow(const Arg& a, const Arg& b) {
  const bool small = b.is_scalar && (b.scalar == 2 || b.scalar == 3);
  if (!small || a.is_scalar || !is_floating(a.tensor.dtype())) return apply_binary("pow", a, b);
  const Tensor square = mul(a, a);
  return b.scalar == 2 ? square : mul(square, a);
}

}  // namespace fovea
