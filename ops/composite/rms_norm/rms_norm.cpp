#include "ops/composite/rms_norm/rms_norm.h"

#include <cstring>

#include "ops/core/cast/cast.h"
#include "ops/core/sqrt/sqrt.h"
#include "ops/shared/norms.h"
#include "ops/shared/reductions.h"
#include "ops/shared/rows.h"
#include "ops/shared/simd/norm.h"
#include "ops/shared/simd/reduce.h"

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
  Tensors grads(a.in.size());
  if (a.grad[0].defined()) {
    Tensors in{a.grad[0], a.in[0], a.out[1]};
    if (a.in.size() > 1) in.push_back(a.in[1]);
    const Tensors back = apply("rms_norm_backward", in, {{"dims", dims}});
    for (size_t i = 0; i < grads.size(); ++i) grads[i] = back[i];
  }
  if (a.needs[0] && a.grad[1].defined()) {  // d rstd / dx = -rstd^3 x / n
    const Tensor x = to_row_type(a.in[0]);
    const Tensor& rstd = a.out[1];
    const Tensor slope = with_trailing_ones(a.grad[1] * rstd * rstd * rstd, dims);
    const Tensor dx = -slope * x / reduced_count(x, last_axes(x.rank(), dims));
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
        "2019). rstd "
        "comes out too, f32 for half types.")
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
        "and "
        "dgamma = sum(g xhat). Without gamma only dx.")
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

FOVEA_KERNEL(cpu, rms_norm, rows) {
  kernel.dtypes({DType::f32, DType::f64}).in_place(0).prepare([](const KernelRequest& r) {
    const RowSizes size(r.in[0].shape, r.attrs.integer("dims"));
    const auto forward = simd::norm_kernels(r.in[0].dtype)->rms_norm;
    const int64_t bytes = size_of(r.in[0].dtype);
    return make_prepared([=, blocks = size.blocks(), affine = r.in.size() > 1,
                          eps = r.attrs.number("eps")](const KernelArgs& args) {
      for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
        const int64_t at = begin * size.n * bytes;
        forward(args.input<char>(0) + at, affine ? args.in[1] : nullptr, args.output<char>(0) + at,
                args.output<char>(1) + begin * bytes, static_cast<size_t>(end - begin),
                static_cast<size_t>(size.n), eps);
      });
    });
  });
}

FOVEA_KERNEL(cpu, rms_norm_backward, rows) {
  kernel.dtypes({DType::f32, DType::f64}).in_place(0).in_place(1).prepare([](const KernelRequest& r) {
    const RowSizes size(r.in[1].shape, r.attrs.integer("dims"));
    const bool affine = r.in.size() > 3;
    const auto backward = simd::norm_kernels(r.in[1].dtype)->rms_norm_backward;
    const auto add_up = simd::find_reduce_columns("sum", r.in[1].dtype);
    const Blocks blocks = size.blocks(16384, affine ? 32 : 256);
    const int64_t bytes = size_of(r.in[1].dtype), own_bytes = size.n * bytes;
    return make_prepared(
        [=](const KernelArgs& args) {
          char* sums = static_cast<char*>(args.workspace);
          for_blocks(args.pool, blocks, [&](int64_t block, int64_t begin, int64_t end) {
            const int64_t at = begin * size.n * bytes;
            char* own = affine ? sums + block * own_bytes : nullptr;
            if (affine) std::memset(own, 0, static_cast<size_t>(own_bytes));
            backward(args.input<char>(0) + at, args.input<char>(1) + at, affine ? args.in[3] : nullptr,
                     args.input<char>(2) + begin * bytes, args.output<char>(0) + at, own,
                     static_cast<size_t>(end - begin), static_cast<size_t>(size.n));
          });
          const auto n = static_cast<size_t>(size.n);
          if (affine) add_up(sums, n, args.out[1], static_cast<size_t>(blocks.count), n);
        },
        affine ? blocks.count * own_bytes : 0);
  });
}

Tensor rms_norm(const Arg& x, const Tensor& gamma, double eps, int64_t dims) {
  return apply("rms_norm", {to_tensor(x, DType::f32), gamma}, {{"eps", eps}, {"dims", dims}}, x.source)[0];
}

}  // namespace fovea
