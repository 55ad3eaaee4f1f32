#include "ops/composite/batch_norm_inference/batch_norm_inference.h"

#include <cmath>

#include "ops/core/cast/cast.h"
#include "ops/core/sqrt/sqrt.h"
#include "ops/shared/channels.h"
#include "ops/shared/norms.h"
#include "ops/shared/rows.h"
#include "ops/shared/simd/norm.h"

namespace fovea {

FOVEA_OP(batch_norm_inference) {
  op.doc(
        "y = (x - mean) / sqrt(var + eps) gamma + beta for x [N, C, ...] with given statistics [C], f32 for "
        "half types (Ioffe and Szegedy 2015).")
      .input("x", Types::floating)
      .input("mean", Types::floating)
      .input("var", Types::floating)
      .optional_input("gamma", Types::floating)
      .optional_input("beta", Types::floating)
      .attr("eps", 1e-5)
      .infer([](InferContext& c) {
        check_eps(c);
        check_channel_parameter(c, 1, row_dtype(c.dtype(0)));
        check_channel_parameter(c, 2, row_dtype(c.dtype(0)));
        for (size_t i = 3; i < c.in.size(); ++i) check_channel_parameter(c, i, c.dtype(0));
        c.output(c.in[0]);
      })
      .decompose([](const OpArgs& a) {
        const int64_t rank = a.in[0].rank();
        Tensor scale = 1.0 / sqrt(a.in[2] + a.attrs.number("eps"));
        if (a.in.size() > 3) scale = scale * to_row_type(a.in[3]);
        Tensor y = (to_row_type(a.in[0]) - per_channel(a.in[1], rank)) * per_channel(scale, rank);
        if (a.in.size() > 4) y = y + per_channel(to_row_type(a.in[4]), rank);
        return Tensors{cast(y, a.in[0].dtype())};
      })
      .sample({In{4, 3}, In{3}, In({3}).range(0.5, 2)})
      .sample({In{2, 3, 2, 2}, In{3}, In({3}).range(0.5, 2), In{3}, In{3}})
      .sample_error({In{4, 3}, In{3}, In{2}}, {}, "var has 2 elements for 3 channels");
}

namespace {

template <class T>
void make_scale(const void* var, const void* gamma, double eps, int64_t channels, void* scale) {
  for (int64_t c = 0; c < channels; ++c) {
    const T rstd = static_cast<T>(1 / std::sqrt(static_cast<double>(static_cast<const T*>(var)[c]) + eps));
    static_cast<T*>(scale)[c] = gamma != nullptr ? rstd * static_cast<const T*>(gamma)[c] : rstd;
  }
}

}  // namespace

FOVEA_KERNEL(cpu, batch_norm_inference, channels) {
  kernel.dtypes({DType::f32, DType::f64}).in_place(0).prepare([](const KernelRequest& r) {
    const ChannelSizes s(r.in[0]);
    const auto normalize = simd::norm_kernels(r.in[0].dtype)->channel_normalize;
    const auto scale_of = r.in[0].dtype == DType::f64 ? &make_scale<double> : &make_scale<float>;
    return make_prepared(
        [s, normalize, scale_of, operands = r.in.size(),
         eps = r.attrs.number("eps")](const KernelArgs& args) {
          scale_of(args.in[2], operands > 3 ? args.in[3] : nullptr, eps, s.channels, args.workspace);
          for_blocks(args.pool, s.by_sample, [&](int64_t, int64_t begin, int64_t end) {
            const int64_t at = begin * s.sample_bytes();
            normalize(args.input<char>(0) + at, args.in[1], args.workspace,
                      operands > 4 ? args.in[4] : nullptr, args.output<char>(0) + at,
                      static_cast<size_t>(end - begin), static_cast<size_t>(s.channels),
                      static_cast<size_t>(s.spatial));
          });
        },
        s.channels * s.bytes);
  });
}

Tensor batch_norm_inference(const Arg& x, const Tensor& mean, const Tensor& var, const Tensor& gamma,
                            const Tensor& beta, double eps) {
  return apply1("batch_norm_inference",
                {to_tensor(x, DType::f32), mean, var, gamma_or_ones(gamma, beta, x.source), beta},
                {{"eps", eps}}, x.source);
}

}  // namespace fovea
