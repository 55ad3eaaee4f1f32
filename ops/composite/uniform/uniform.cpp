#include "ops/composite/uniform/uniform.h"

#include <cmath>

#include "ops/core/add/add.h"
#include "ops/core/cast/cast.h"
#include "ops/core/floor/floor.h"
#include "ops/core/mul/mul.h"
#include "ops/core/rand_bits/rand_bits.h"
#include "ops/shared/random_kernel.h"

namespace fovea {

FOVEA_OP(uniform) {
  declare_random(op)
      .doc("Uniform in [0, 1), f32: the upper 24 of 32 random bits, times 2^-24.")
      .infer([](InferContext& c) { infer_random(c, DType::f32); })
      .decompose([](const OpArgs& a) {
        const Tensor bits = rand_bits(a.in[0], a.attrs.shape("shape"), a.attrs.integer("ordinal"));
        return Tensors{cast(unit_interval(bits), DType::f32)};
      })
      .sample({ints({2}, 0, 100)}, {{"shape", Shape{2, 5}}})
      .sample_error({ints({3}, 0, 100)}, {{"shape", Shape{2}}},
                    "key must have 2 elements (key, step), got 3");
}

FOVEA_KERNEL(cpu, uniform, simd) { random_kernel(kernel, simd::random_uniform); }

Tensor unit_interval(const Tensor& bits) {
  // Exact in f64: bits ^ 0x80000000 is bits + 2^31, and the shift a floor.
  return floor((cast(bits, DType::f64) + std::ldexp(1.0, 31)) * std::ldexp(1.0, -8)) * std::ldexp(1.0, -24);
}

Tensor uniform(const Arg& key, Shape shape, double low, double high, int64_t ordinal) {
  const Tensor k = to_tensor(key, DType::i64);
  if (ordinal < 0) ordinal = next_ordinal(k);
  const Tensor u = apply1("uniform", {k}, {{"shape", std::move(shape)}, {"ordinal", ordinal}}, key.source);
  if (low == 0 && high == 1) return u;
  return Arg(Arg(u, key.source) * (high - low), key.source) + low;
}

}  // namespace fovea
