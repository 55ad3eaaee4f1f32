#include "ops/composite/atan/atan.h"

#include <numbers>

#include "ops/composite/abs/abs.h"
#include "ops/composite/square/square.h"
#include "ops/core/cast/cast.h"
#include "ops/core/equal/equal.h"
#include "ops/core/less/less.h"
#include "ops/core/sqrt/sqrt.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"
#include "ops/shared/reductions.h"

namespace fovea {
namespace {

// 1/x beyond 1, then the angle halved three times, atan t = 2 atan(t / (1 + sqrt(1 + t^2))): what is left is
// below tan(pi / 32) = 0.099, where eight terms of the series are exact to 5e-18.
Tensors decompose(const OpArgs& a) {
  const Tensor x = widen_half(a.in[0]), size = abs(x), beyond = less(1, size);
  Tensor t = where(beyond, 1.0 / where(beyond, size, 1), size);
  for (int i = 0; i < 3; ++i) t = t / (1.0 + sqrt(1.0 + square(t)));
  const Tensor t2 = square(t);
  Tensor series = t2 * (-1.0 / 15);
  for (int n = 13; n > 1; n -= 2) series = t2 * (series + (n % 4 == 1 ? 1.0 : -1.0) / n);
  const Tensor angle = 8.0 * (t + t * series);
  const Tensor full = where(beyond, std::numbers::pi / 2 - angle, angle);
  const Tensor y = where(equal(x, 0), x, where(less(x, 0), -full, full));
  return {cast(y, a.in[0].dtype())};
}

}  // namespace

FOVEA_OP(atan) {
  op.doc("y = the angle in radians, from -pi/2 to pi/2, whose tangent is x, elementwise.")
      .input("x", Types::floating)
      .pointwise()
      .decompose(decompose)
      .gradient([](const GradArgs& a) { return Tensors{a.grad[0] / (1.0 + square(a.in[0]))}; })
      .sample({In({2, 3}).range(-3, 3)})
      .sample({In({5}).range(-0.5, 0.5)})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

Tensor atan(const Arg& x) { return apply1("atan", {to_tensor(x, DType::f32)}, {}, x.source); }

}  // namespace fovea
