#include "ops/core/bitwise_and/bitwise_and.h"

#include "graph/ir/op.h"
#include "ops/core/add/add.h"
#include "ops/core/mul/mul.h"
#include "ops/core/sub/sub.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {

FOVEA_OP(bitwise_and) {
  op.doc("y = the bits that a and b have in common, elementwise with NumPy broadcasting; two's complement.")
      .input("a", Types::integer)
      .input("b", Types::integer)
      .pointwise()
      .commutative()
      .not_differentiable()
      .sample({ints({2, 3}, -9, 9), ints({2, 3}, -9, 9)})
      .sample({ints({2, 1, 3}, 0, 99, DType::u8), ints({4, 1}, 0, 99, DType::u8)})
      .sample_error({In{2}, In{2}}, {}, "a must be");
}

FOVEA_KERNEL(reference, bitwise_and, loops) {
  reference_binary(kernel, [](auto a, auto b) {
    return static_cast<decltype(a)>(static_cast<int64_t>(a) & static_cast<int64_t>(b));
  });
}

Tensor bitwise_and(const Arg& a, const Arg& b) { return apply_binary("bitwise_and", a, b); }

// In two's complement a + b = (a | b) + (a & b), also where it wraps around.
Tensor bitwise_or(const Arg& a, const Arg& b) {
  const auto [x, y] = promoted(a, b);
  return x + y - bitwise_and(x, y);
}

Tensor bitwise_xor(const Arg& a, const Arg& b) {
  const auto [x, y] = promoted(a, b);
  return x + y - bitwise_and(x, y) * 2;
}

Tensor bitwise_not(const Arg& x) {
  const Tensor t = to_tensor(x, DType::i64);
  return sub(t.dtype() == DType::u8 ? 255 : -1, t);
}

}  // namespace fovea
