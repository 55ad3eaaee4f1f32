#include "ops/composite/clip/clip.h"

#include <limits>

#include "ops/composite/greater_equal/greater_equal.h"
#include "ops/composite/less_equal/less_equal.h"
#include "ops/core/cast/cast.h"
#include "ops/core/logical_and/logical_and.h"
#include "ops/core/maximum/maximum.h"
#include "ops/core/minimum/minimum.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"

namespace fovea {

FOVEA_OP(clip) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  op.doc(
        "y = min(max(x, low), high), elementwise; NaN stays NaN. The gradient is 0 outside and passes at the "
        "bounds.")
      .input("x", Types::numeric)
      .attr("low", -kInf, "the least value of y")
      .attr("high", kInf, "the greatest value of y")
      .pointwise()
      .infer([](InferContext& c) {
        const double low = c.attrs.number("low"), high = c.attrs.number("high");
        if (!(low <= high)) c.fail("low is " + std::to_string(low) + ", above high, " + std::to_string(high));
        c.output(c.in[0]);
      })
      .decompose([](const OpArgs& a) {
        const Tensor& x = a.in[0];
        const Tensor low = to_tensor(a.attrs.number("low"), x.dtype());
        return Tensors{minimum(maximum(x, low), to_tensor(a.attrs.number("high"), x.dtype()))};
      })
      .gradient([](const GradArgs& a) {
        const Tensor& x = a.in[0];
        const Tensor inside =
            greater_equal(x, a.attrs.number("low")) && less_equal(x, a.attrs.number("high"));
        return Tensors{where(inside, a.grad[0], 0)};
      })
      .sample({In({2, 3}).separate()}, {{"low", -0.41}, {"high", 0.43}})
      .sample({In({5}).separate()}, {{"low", 0.17}})
      .sample({ints({6}, -9, 9)}, {{"low", -2}, {"high", 5}})
      .sample_error({In{2}}, {{"low", 1.0}, {"high", -1.0}}, "low is 1.000000, above high, -1.000000");
}

Tensor clip(const Arg& x, double low, double high) {
  return apply1("clip", {to_tensor(x, DType::f32)}, {{"low", low}, {"high", high}}, x.source);
}

}  // namespace fovea
