#include "ops/composite/rms_norm/rms_norm.h"

#include "ops/core/cast/cast.h"
#include "ops/core/sqrt/sqrt.h"
#include "ops/shared/norms.h"
#include "ops/shared/reductions.h"
#include "ops/shared/rows.h"

namespace fovea {
namespace {

void infer(InferContext& c) {
  const int64_t dims = infer_row_axes(c);
  check_eps(c);
  if (c.in.size() > 1) check_row_parameter(c, 1, 0, dims);
  c.output(c.in[0]);
  c.output(row_dtype(c.dtype(0)), Shape(c.shape(0).begin(), c.shape(0).end() - dims));
}

Tensors decompose(const OpArgs& a) {
  const Tensor x = to_row_type(a.in[0]);
  const Ints axes = last_axes(x.rank(), a.attrs.integer("dims"));
  const Tensor rstd = 1.0 / sqrt(mean_over(x * x, axes) + a.attrs.number("eps"));
  Tensor y = x * rstd;
  if (a.in.size() > 1) y = y * to_row_type(a.in[1]);
  return {cast(y, a.in[0].dtype()), rstd.reshape(reduced_shape(x.shape(), axes, false))};
}

Tensors gradient(const GradArgs& a) {
  const int64_t dims = a.attrs.integer("dims");
  Tensors grads = norm_gradients(a, "rms_norm_backward", {a.out[1]}, {{"dims", dims}});
  if (a.needs[0] && a.grad[1].defined()) {  // the backward pass is differentiated
    const Tensor dx = through_row_statistics(to_row_type(a.in[0]), dims, {}, a.out[1], {}, a.grad[1]);
    grads[0] = add_defined(grads[0], cast(dx, a.in[0].dtype()));
  }
  return grads;
}

void infer_backward(InferContext& c) {
  const int64_t dims = infer_row_axes(c);
  c.same_dtype(0, 1);
  c.same_shape(0, 1);
  check_row_values(c, 2, 1, dims);
  c.output(c.in[1]);
  if (c.in.size() == 3) return;
  check_row_parameter(c, 3, 1, dims);
  c.output(c.in[3]);
}

Tensors decompose_backward(const OpArgs& a) {
  const int64_t dims = a.attrs.integer("dims");
  const DType dtype = a.in[1].dtype();
  const Tensor g = to_row_type(a.in[0]), x = to_row_type(a.in[1]);
  const Tensor rstd = with_trailing_ones(a.in[2], dims);
  const Tensor xhat = x * rstd;
  const Tensor h = a.in.size() > 3 ? g * to_row_type(a.in[3]) : g;
  Tensors out{cast(rstd * (h - xhat * mean_over(h * xhat, last_axes(x.rank(), dims))), dtype)};
  if (a.in.size() > 3) out.push_back(cast(reduce_to(g * xhat, a.in[3]), dtype));
  return out;
}

}  // namespace

FOVEA_OP(rms_norm) {
  op.doc(
        "y = x rstd gamma over the last dims axes, rstd = 1 / sqrt(mean(x^2) + eps) (Zhang and Sennrich "
        "2019). rstd comes out too, f32 for half types.")
      .input("x", Types::floating)
      .optional_input("gamma", Types::floating)
      .output("y")
      .output("rstd")
      .attr("dims", 1, "how many last axes are normalised together")
      .attr("eps", 1e-6)
      .infer(infer)
      .decompose(decompose)
      .gradient(gradient)
      .sample({In{3, 5}})
      .sample({In{2, 3, 4}, In{4}})
      .sample({In{2, 3, 4}, In{3, 4}}, {{"dims", 2}})
      .sample_error({In{2, 3}, In{4}}, {}, "axis 0 of gamma is 4, the normalised axis is 3");
}

FOVEA_OP(rms_norm_backward) {
  op.doc(
        "The gradients of rms_norm: with h = g gamma and xhat = x rstd, dx = rstd (h - xhat mean(h xhat)) "
        "and dgamma = sum(g xhat). Without gamma only dx.")
      .input("g", Types::floating)
      .input("x", Types::floating)
      .input("rstd", Types::floating)
      .optional_input("gamma", Types::floating)
      .output("dx")
      .output("dgamma")
      .attr("dims", 1)
      .infer(infer_backward)
      .decompose(decompose_backward)
      .sample({In{3, 5}, In{3, 5}, In({3}).range(0.5, 2)})
      .sample({In{3, 5}, In{3, 5}, In({3}).range(0.5, 2), In{5}})
      .sample_error({In{3, 5}, In{3, 5}, In{2}}, {}, "axis 0 of rstd is 2, the rows' is 3");
}

Tensor rms_norm(const Arg& x, const Tensor& gamma, double eps, int64_t dims) {
  return apply("rms_norm", {to_tensor(x, DType::f32), gamma}, {{"eps", eps}, {"dims", dims}}, x.source)[0];
}

}  // namespace fovea
