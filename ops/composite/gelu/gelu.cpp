#include "ops/composite/gelu/gelu.h"

#include "ops/core/erf/erf.h"
#include "ops/core/exp/exp.h"
#include "ops/core/tanh/tanh.h"
#include "ops/shared/gradients.h"
#include "ops/shared/pointwise.h"

namespace fovea {
namespace {

constexpr double kSqrtHalf = 0.70710678118654752, kSqrt2OverPi = 0.79788456080286536;
constexpr double kInverseSqrt2Pi = 0.39894228040143268, kCubic = 0.044715;

bool by_tanh(const Attrs& attrs) { return attrs.text("approximate") == "tanh"; }

void check_approximation(const InferContext& c) {
  const std::string& kind = c.attrs.text("approximate");
  if (kind != "none" && kind != "tanh") c.fail("approximate is '" + kind + "', not none or tanh");
}

Tensor tanh_inner(const Tensor& x) { return kSqrt2OverPi * (x * (1.0 + kCubic * (x * x))); }

}  // namespace

FOVEA_OP(gelu) {
  op.doc(
        "y = x Phi(x), Phi the normal distribution function (Hendrycks and Gimpel, 2016). approximate = "
        "none: x/2 (1 + erf(x / sqrt 2)); tanh: x/2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).")
      .input("x", Types::floating)
      .attr("approximate", "none", "none or tanh")
      .pointwise()
      .infer([](InferContext& c) {
        check_approximation(c);
        c.output(c.in[0]);
      })
      .decompose([](const OpArgs& a) {
        const Tensor& x = a.in[0];
        return Tensors{0.5 * x * (1.0 + (by_tanh(a.attrs) ? tanh(tanh_inner(x)) : erf(kSqrtHalf * x)))};
      })
      .gradient([](const GradArgs& a) {
        return Tensors{
            apply1("gelu_backward", {a.in[0], a.grad[0]}, {{"approximate", a.attrs.text("approximate")}})};
      })
      .sample({In({2, 3}).range(-3, 3)})
      .sample({In({2, 3}).range(-3, 3)}, {{"approximate", "tanh"}})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating")
      .sample_error({In{2}}, {{"approximate", "sigmoid"}}, "approximate is 'sigmoid', not none or tanh");
}

FOVEA_OP(gelu_backward) {
  op.doc(
        "dx = g (Phi(x) + x phi(x)): the gradient of gelu from its operand x and the gradient g of its "
        "result.")
      .input("x", Types::floating)
      .input("g", Types::floating)
      .attr("approximate", "none", "as in gelu")
      .pointwise()
      .infer([](InferContext& c) {
        check_approximation(c);
        c.same_dtype(0, 1);
        c.output(c.dtype(0), c.broadcast(c.shape(0), c.shape(1)));
      })
      .decompose([](const OpArgs& a) {
        const Tensor &x = a.in[0], &g = a.in[1];
        if (!by_tanh(a.attrs)) {
          const Tensor density = kInverseSqrt2Pi * exp(-0.5 * (x * x));
          return Tensors{g * (0.5 * (1.0 + erf(kSqrtHalf * x)) + x * density)};
        }
        const Tensor t = tanh(tanh_inner(x));
        const Tensor inner_slope = kSqrt2OverPi * (1.0 + 3.0 * kCubic * (x * x));
        return Tensors{g * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner_slope)};
      })
      .sample({In({2, 3}).range(-3, 3), In{2, 3}})
      .sample({In({2, 3}).range(-3, 3), In{2, 3}}, {{"approximate", "tanh"}})
      .sample_error({In{2, 3}, In{2, 4}}, {}, "axis 1 is 3 against 4");
}

FOVEA_KERNEL(cpu, gelu, simd) { simd_unary(kernel); }
FOVEA_KERNEL(cpu, gelu_backward, simd) { simd_binary(kernel); }

Tensor gelu(const Arg& x, const std::string& approximate) {
  return apply1("gelu", {to_tensor(x, DType::f32)}, {{"approximate", approximate}}, x.source);
}

}  // namespace fovea
