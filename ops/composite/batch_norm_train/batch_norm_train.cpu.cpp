#include <cmath>

#include "ops/shared/channels.h"
#include "ops/shared/simd/norm.h"

namespace fovea {
namespace {

// scale = rstd gamma
template <class T>
void finish_statistics(const KernelArgs& args, int64_t begin, int64_t end, const T* gamma, double eps,
                       T* scale) {
  for (int64_t c = begin; c < end; ++c) {
    const T rstd = static_cast<T>(1 / std::sqrt(static_cast<double>(args.output<T>(2)[c]) + eps));
    args.output<T>(3)[c] = rstd;
    scale[c] = gamma != nullptr ? rstd * gamma[c] : rstd;
  }
}

}  // namespace

FOVEA_KERNEL(cpu, batch_norm_train, channels) {
  kernel.dtypes({DType::f32, DType::f64}).in_place(0).prepare([](const KernelRequest& r) {
    const ChannelSizes s(r.in[0]);
    const simd::NormKernels& norm = *simd::norm_kernels(r.in[0].dtype);
    return make_prepared(
        [s, &norm, operands = r.in.size(), wide = r.in[0].dtype == DType::f64,
         eps = r.attrs.number("eps")](const KernelArgs& args) {
          const void* gamma = operands > 1 ? args.in[1] : nullptr;
          const void* beta = operands > 2 ? args.in[2] : nullptr;
          const auto batch = static_cast<size_t>(s.batch), channels = static_cast<size_t>(s.channels),
                     spatial = static_cast<size_t>(s.spatial);
          for_blocks(args.pool, s.by_channel, [&](int64_t, int64_t begin, int64_t end) {
            norm.channel_statistics(args.in[0], args.out[1], args.out[2], batch, channels, spatial,
                                    static_cast<size_t>(begin), static_cast<size_t>(end));
            if (wide)
              finish_statistics(args, begin, end, static_cast<const double*>(gamma), eps,
                                static_cast<double*>(args.workspace));
            else
              finish_statistics(args, begin, end, static_cast<const float*>(gamma), eps,
                                static_cast<float*>(args.workspace));
          });
          for_blocks(args.pool, s.by_sample, [&](int64_t, int64_t begin, int64_t end) {
            const int64_t at = begin * s.sample_bytes();
            norm.channel_normalize(args.input<char>(0) + at, args.out[1], args.workspace, beta,
                                   args.output<char>(0) + at, static_cast<size_t>(end - begin), channels,
                                   spatial);
          });
        },
        s.channels * s.bytes);
  });
}

FOVEA_KERNEL(cpu, batch_norm_train_backward, channels) {
  kernel.dtypes({DType::f32, DType::f64}).in_place(0).prepare([](const KernelRequest& r) {
    const ChannelSizes s(r.in[1]);
    const simd::NormKernels& norm = *simd::norm_kernels(r.in[1].dtype);
    return make_prepared([s, &norm, affine = r.in.size() > 4](const KernelArgs& args) {
      const auto batch = static_cast<size_t>(s.batch), channels = static_cast<size_t>(s.channels),
                 spatial = static_cast<size_t>(s.spatial);
      for_blocks(args.pool, s.by_channel, [&](int64_t, int64_t begin, int64_t end) {
        norm.channel_gradients(args.in[0], args.in[1], args.in[2], args.in[3], args.out[1], args.out[2],
                               batch, channels, spatial, static_cast<size_t>(begin),
                               static_cast<size_t>(end));
      });
      const double count = static_cast<double>(s.batch) * static_cast<double>(s.spatial);
      for_blocks(args.pool, s.by_sample, [&](int64_t, int64_t begin, int64_t end) {
        const int64_t at = begin * s.sample_bytes();
        norm.batch_norm_dx(args.input<char>(0) + at, args.input<char>(1) + at, args.in[2], args.in[3],
                           affine ? args.in[4] : nullptr, args.out[1], args.out[2], count,
                           args.output<char>(0) + at, static_cast<size_t>(end - begin), channels, spatial);
      });
    });
  });
}

}  // namespace fovea
