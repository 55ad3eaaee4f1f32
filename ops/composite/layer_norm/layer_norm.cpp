#include "ops/composite/layer_norm/layer_norm.h"

#include "ops/core/cast/cast.h"
#include "ops/core/sqrt/sqrt.h"
#include "ops/core/sum/sum.h"
#include "ops/shared/norms.h"
#include "ops/shared/reductions.h"
#include "ops/shared/rows.h"

namespace fovea {
namespace {

void infer(InferContext& c) {
  const int64_t dims = infer_row_axes(c);
  check_eps(c);
  for (size_t i = 1; i < c.in.size(); ++i) check_row_parameter(c, i, 0, dims);
  c.output(c.in[0]);
  const Shape rows(c.shape(0).begin(), c.shape(0).end() - dims);
  c.output(row_dtype(c.dtype(0)), rows);
  c.output(row_dtype(c.dtype(0)), rows);
}

// In the row type.
Tensors normalise(const Tensor& x, const Attrs& attrs) {
  const int64_t dims = attrs.integer("dims"), rank = x.rank();
  const Ints axes = last_axes(rank, dims);
  const Shape rows = reduced_shape(x.shape(), axes, false);
  const Tensor mean = mean_over(x, axes);
  const Tensor centred = x - mean;
  const Tensor rstd = 1.0 / sqrt(mean_over(centred * centred, axes) + attrs.number("eps"));
  return {centred * rstd, mean.reshape(rows), rstd.reshape(rows)};
}

Tensors decompose(const OpArgs& a) {
  Tensors out = normalise(to_row_type(a.in[0]), a.attrs);
  if (a.in.size() > 1) out[0] = out[0] * to_row_type(a.in[1]);
  if (a.in.size() > 2) out[0] = out[0] + to_row_type(a.in[2]);
  out[0] = cast(out[0], a.in[0].dtype());
  return out;
}

Tensors gradient(const GradArgs& a) {
  const int64_t dims = a.attrs.integer("dims");
  Tensors grads = norm_gradients(a, "layer_norm_backward", {a.out[1], a.out[2]}, {{"dims", dims}});
  if (a.needs[0] && (a.grad[1].defined() || a.grad[2].defined())) {  // the backward pass is differentiated
    const Tensor dx =
        through_row_statistics(to_row_type(a.in[0]), dims, a.out[1], a.out[2], a.grad[1], a.grad[2]);
    grads[0] = add_defined(grads[0], cast(dx, a.in[0].dtype()));
  }
  return grads;
}

void infer_backward(InferContext& c) {
  const int64_t dims = infer_row_axes(c);
  c.same_dtype(0, 1);
  c.same_shape(0, 1);
  check_row_values(c, 2, 1, dims);
  check_row_values(c, 3, 1, dims);
  c.output(c.in[1]);
  if (c.in.size() == 4) return;
  check_row_parameter(c, 4, 1, dims);
  c.output(c.in[4]);
  c.output(c.in[4]);
}

Tensors decompose_backward(const OpArgs& a) {
  const int64_t dims = a.attrs.integer("dims");
  const DType dtype = a.in[1].dtype();
  const Tensor g = to_row_type(a.in[0]), x = to_row_type(a.in[1]);
  const Tensor rstd = with_trailing_ones(a.in[3], dims);
  const Tensor xhat = (x - with_trailing_ones(a.in[2], dims)) * rstd;
  const Tensor h = a.in.size() > 4 ? g * to_row_type(a.in[4]) : g;
  const Ints axes = last_axes(x.rank(), dims);
  Tensors out{cast(rstd * (h - mean_over(h, axes) - xhat * mean_over(h * xhat, axes)), dtype)};
  if (a.in.size() > 4) {
    out.push_back(cast(reduce_to(g * xhat, a.in[4]), dtype));
    out.push_back(cast(reduce_to(g, a.in[4]), dtype));
  }
  return out;
}

}  // namespace

FOVEA_OP(layer_norm) {
  op.doc(
        "y = (x - mean) rstd gamma + beta over the last dims axes, rstd = 1 / sqrt(var + eps) with the "
        "biased variance (Ba, Kiros and Hinton 2016). Mean and rstd come out too, f32 for half types.")
      .input("x", Types::floating)
      .optional_input("gamma", Types::floating)
      .optional_input("beta", Types::floating)
      .output("y")
      .output("mean")
      .output("rstd")
      .attr("dims", 1, "how many last axes are normalised together")
      .attr("eps", 1e-5)
      .infer(infer)
      .decompose(decompose)
      .gradient(gradient)
      .sample({In{3, 5}})
      .sample({In{2, 3, 4}, In{4}})
      .sample({In{3, 5}, In{5}, In{5}})
      .sample({In{2, 3, 4}, In{3, 4}, In{3, 4}}, {{"dims", 2}})
      .sample_error({In{2, 3}, In{4}}, {}, "axis 0 of gamma is 4, the normalised axis is 3")
      .sample_error({In{2, 3}}, {{"dims", 3}}, "dims 3 is not between 1 and the rank, 2");
}

FOVEA_OP(layer_norm_backward) {
  op.doc(
        "The gradients of layer_norm: with h = g gamma and xhat = (x - mean) rstd, dx = rstd (h - mean(h) - "
        "xhat mean(h xhat)), dgamma = sum(g xhat), dbeta = sum(g). Without gamma only dx.")
      .input("g", Types::floating)
      .input("x", Types::floating)
      .input("mean", Types::floating)
      .input("rstd", Types::floating)
      .optional_input("gamma", Types::floating)
      .output("dx")
      .output("dgamma")
      .output("dbeta")
      .attr("dims", 1)
      .infer(infer_backward)
      .decompose(decompose_backward)
      .sample({In{3, 5}, In{3, 5}, In{3}, In({3}).range(0.5, 2)})
      .sample({In{3, 5}, In{3, 5}, In{3}, In({3}).range(0.5, 2), In{5}})
      .sample({In{2, 3, 4}, In{2, 3, 4}, In{2}, In({2}).range(0.5, 2), In{3, 4}}, {{"dims", 2}})
      .sample_error({In{3, 5}, In{3, 5}, In{2}, In{3}}, {}, "axis 0 of mean is 2, the rows' is 3");
}

Tensor layer_norm(const Arg& x, const Tensor& gamma, const Tensor& beta, double eps, int64_t dims) {
  const Tensor t = to_tensor(x, DType::f32);
  return apply("layer_norm", {t, gamma_or_ones(gamma, beta, x.source), beta}, {{"eps", eps}, {"dims", dims}},
               x.source)[0];
}

}  // namespace fovea
