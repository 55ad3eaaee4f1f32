#include "ops/composite/normal/normal.h"

#include <numbers>

#include "ops/core/add/add.h"
#include "ops/core/cast/cast.h"
#include "ops/core/concat/concat.h"
#include "ops/core/cos/cos.h"
#include "ops/core/log/log.h"
#include "ops/core/mul/mul.h"
#include "ops/core/rand_bits/rand_bits.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/sin/sin.h"
#include "ops/core/slice/slice.h"
#include "ops/core/sqrt/sqrt.h"
#include "ops/core/sub/sub.h"
#include "ops/shared/random_kernel.h"

namespace fovea {

FOVEA_OP(normal) {
  declare_random(op)
      .doc(
          "Standard normal, f32: sqrt(-2 log(1 - u)) times cos and sin of 2 pi v, for pairs u, v of uniform "
          "values.")
      .infer([](InferContext& c) { infer_random(c, DType::f32); })
      .decompose([](const OpArgs& a) {
        const Shape& shape = a.attrs.shape("shape");
        const Dim n = product(shape), pairs = floor_div(n + Dim(1), 2);
        const Tensor bits = rand_bits(a.in[0], {pairs, 2}, a.attrs.integer("ordinal"));
        const Tensor uv = unit_interval(bits);
        const Tensor radius = sqrt(log(1.0 - slice(uv, 1, 0, 1)) * -2.0);
        const Tensor angle = slice(uv, 1, 1, 2) * (2 * std::numbers::pi);
        const Tensor both = reshape(concat({radius * cos(angle), radius * sin(angle)}, 1), {pairs * Dim(2)});
        return Tensors{cast(reshape(slice(both, 0, 0, n), shape), DType::f32)};
      })
      .sample({ints({2}, 0, 100)}, {{"shape", Shape{3, 5}}})
      .sample_error({ints({3}, 0, 100)}, {{"shape", Shape{2}}},
                    "key must have 2 elements (key, step), got 3");
}

FOVEA_KERNEL(cpu, normal, simd) { random_kernel(kernel, simd::random_normal); }

Tensor normal(const Arg& key, Shape shape, double mean, double deviation, int64_t ordinal) {
  const Tensor k = to_tensor(key, DType::i64);
  if (ordinal < 0) ordinal = next_ordinal(k);
  const Tensor z = apply1("normal", {k}, {{"shape", std::move(shape)}, {"ordinal", ordinal}}, key.source);
  if (mean == 0 && deviation == 1) return z;
  return Arg(Arg(z, key.source) * deviation, key.source) + mean;
}

}  // namespace fovea
