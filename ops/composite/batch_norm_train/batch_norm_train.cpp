#include "ops/composite/batch_norm_train/batch_norm_train.h"

#include "ops/core/cast/cast.h"
#include "ops/core/full/full.h"
#include "ops/core/sqrt/sqrt.h"
#include "ops/core/sum/sum.h"
#include "ops/shared/norms.h"
#include "ops/shared/reductions.h"
#include "ops/shared/rows.h"

namespace fovea {
namespace {

void infer(InferContext& c) {
  check_eps(c);
  if (c.rank(0) < 2)
    c.fail("x has rank " + std::to_string(c.rank(0)) + ", it needs a batch and a channel axis");
  for (size_t i = 1; i < c.in.size(); ++i) check_channel_parameter(c, i, c.dtype(0));
  c.output(c.in[0]);
  for (int i = 0; i < 3; ++i) c.output(row_dtype(c.dtype(0)), {c.shape(0)[1]});
}

Tensors decompose(const OpArgs& a) {
  const Tensor x = to_row_type(a.in[0]);
  const int64_t rank = x.rank();
  const Ints axes = all_but_channels(rank);
  const Tensor mean = mean_over(x, axes);
  const Tensor centred = x - mean;
  const Tensor var = mean_over(centred * centred, axes);
  const Tensor rstd = 1.0 / sqrt(var + a.attrs.number("eps"));
  Tensor y = centred * rstd;
  if (a.in.size() > 1) y = y * per_channel(to_row_type(a.in[1]), rank);
  if (a.in.size() > 2) y = y + per_channel(to_row_type(a.in[2]), rank);
  const Shape channels{x.dim(1)};
  return {cast(y, a.in[0].dtype()), mean.reshape(channels), var.reshape(channels), rstd.reshape(channels)};
}

// d mean / dx = 1 / n, d var / dx = 2 (x - mean) / n, d rstd / dx = -rstd^3 (x - mean) / n.
Tensor through_statistics(const GradArgs& a) {
  const Tensor x = to_row_type(a.in[0]);
  const int64_t rank = x.rank();
  const Tensor n = reduced_count(x, all_but_channels(rank));
  Tensor slope, out;
  if (a.grad[2].defined()) slope = 2.0 * a.grad[2];
  if (a.grad[3].defined()) slope = add_defined(slope, -(a.grad[3] * a.out[3] * a.out[3] * a.out[3]));
  if (slope.defined()) out = per_channel(slope, rank) / n * (x - per_channel(a.out[1], rank));
  if (a.grad[1].defined()) out = add_defined(out, per_channel(a.grad[1], rank) / n + zeros_like(x));
  return out.defined() ? cast(out, a.in[0].dtype()) : out;
}

Tensors gradient(const GradArgs& a) {
  Tensors grads = norm_gradients(a, "batch_norm_train_backward", {a.out[1], a.out[3]}, {});
  if (a.needs[0]) grads[0] = add_defined(grads[0], through_statistics(a));
  return grads;
}

void infer_backward(InferContext& c) {
  c.same_dtype(0, 1);
  c.same_shape(0, 1);
  check_channel_parameter(c, 2, row_dtype(c.dtype(1)));
  check_channel_parameter(c, 3, row_dtype(c.dtype(1)));
  c.output(c.in[1]);
  if (c.in.size() > 4) check_channel_parameter(c, 4, c.dtype(1));
  c.output(c.dtype(1), {c.shape(1)[1]});
  c.output(c.dtype(1), {c.shape(1)[1]});
}

Tensors decompose_backward(const OpArgs& a) {
  const DType dtype = a.in[1].dtype();
  const Tensor g = to_row_type(a.in[0]), x = to_row_type(a.in[1]);
  const int64_t rank = x.rank();
  const Ints axes = all_but_channels(rank);
  const Tensor rstd = per_channel(a.in[3], rank);
  const Tensor xhat = (x - per_channel(a.in[2], rank)) * rstd;
  const Tensor dbeta = sum(g, axes, true), dgamma = sum(g * xhat, axes, true);
  const Tensor n = reduced_count(x, axes);
  Tensor dx = rstd * (g - dbeta / n - xhat * (dgamma / n));
  if (a.in.size() > 4) dx = dx * per_channel(to_row_type(a.in[4]), rank);
  const Shape channels{x.dim(1)};
  return {cast(dx, dtype), cast(dgamma.reshape(channels), dtype), cast(dbeta.reshape(channels), dtype)};
}

}  // namespace

FOVEA_OP(batch_norm_train) {
  op.doc(
        "y = (x - mean) rstd gamma + beta for x [N, C, ...] with each channel's mean and biased variance "
        "over the batch, rstd = 1 / sqrt(var + eps) (Ioffe and Szegedy 2015). The statistics come out too, "
        "f32 for half types.")
      .input("x", Types::floating)
      .optional_input("gamma", Types::floating)
      .optional_input("beta", Types::floating)
      .output("y")
      .output("mean")
      .output("var")
      .output("rstd")
      .attr("eps", 1e-5)
      .infer(infer)
      .decompose(decompose)
      .gradient(gradient)
      .sample({In{4, 3}})
      .sample({In{3, 2, 4}, In{2}})
      .sample({In{2, 3, 2, 2}, In{3}, In{3}})
      .sample_error({In{4}}, {}, "x has rank 1, it needs a batch and a channel axis")
      .sample_error({In{4, 3}, In{2}}, {}, "gamma has 2 elements for 3 channels");
}

FOVEA_OP(batch_norm_train_backward) {
  op.doc(
        "The gradients of batch_norm_train: dbeta = sum(g), dgamma = sum(g xhat) and dx = gamma rstd (g - "
        "dbeta / n - xhat dgamma / n) with xhat = (x - mean) rstd and n values a channel.")
      .input("g", Types::floating)
      .input("x", Types::floating)
      .input("mean", Types::floating)
      .input("rstd", Types::floating)
      .optional_input("gamma", Types::floating)
      .output("dx")
      .output("dgamma")
      .output("dbeta")
      .infer(infer_backward)
      .decompose(decompose_backward)
      .sample({In{4, 3}, In{4, 3}, In{3}, In({3}).range(0.5, 2)})
      .sample({In{2, 3, 4}, In{2, 3, 4}, In{3}, In({3}).range(0.5, 2), In{3}})
      .sample_error({In{4, 3}, In{4, 3}, In{2}, In{3}}, {}, "mean has 2 elements for 3 channels");
}

BatchNorm batch_norm_train(const Arg& x, const Tensor& gamma, const Tensor& beta, double eps) {
  const Tensors out =
      apply("batch_norm_train", {to_tensor(x, DType::f32), gamma_or_ones(gamma, beta, x.source), beta},
            {{"eps", eps}}, x.source);
  return {out[0], out[1], out[2]};
}

}  // namespace fovea
