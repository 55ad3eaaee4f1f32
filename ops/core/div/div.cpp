#include "ops/core/div/div.h"

#include "ops/core/cast/cast.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(div) {
  op.doc(
        "y = a / b, elementwise with NumPy broadcasting. Integers truncate toward 0; an integer divided by 0 "
        "gives 0.")
      .input("a", Types::numeric)
      .input("b", Types::numeric)
      .pointwise()
      .gradient([](const GradArgs& a) {
        return Tensors{reduce_if_needed(a, 0, [&] { return a.grad[0] / a.in[1]; }),
                       reduce_if_needed(a, 1, [&] { return -(a.grad[0] * a.out[0] / a.in[1]); })};
      })
      .sample({In{2, 3}, In({2, 3}).range(0.5, 2)})
      .sample({In{2, 1, 3}, In({4, 1}).range(-2, -0.5)})
      .sample_error({In{2, 3}, In{2, 4}}, {}, "axis 1 is 3 against 4");
}

FOVEA_KERNEL(reference, div, loops) {
  reference_binary(kernel, [](auto a, auto b) {
    if constexpr (std::is_integral_v<decltype(a)>) {
      if (b == 0) return int64_t{0};
      return b == -1 ? wrapping_sub(int64_t{0}, a) : a / b;  // the least number divided by -1 wraps around
    } else {
      return a / b;
    }
  });
}
FOVEA_KERNEL(cpu, div, simd) { simd_binary(kernel); }

Tensor div(const Arg& a, const Arg& b) {
  const auto fractional = [](const Arg& x) {
    return x.is_scalar ? !x.is_integral : is_floating(x.tensor.dtype());
  };
  if (fractional(a) || fractional(b)) return apply_binary("div", a, b);
  return apply_binary("div", cast(a, DType::f32), cast(b, DType::f32));
}

}  // namespace fovea
