// The inner loops of attention in f64.
#include "ops/shared/simd/attention.h"
#include "ops/shared/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/simd/attention_f64.cpp"
#include "hwy/foreach_target.h"
#include "ops/shared/simd/attention-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {

const AttentionKernels<double>& attention_f64() {
  static const AttentionKernels<double> kernels = make_attention_kernels<double>();
  return kernels;
}

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::simd {
HWY_EXPORT(attention_f64);
template <>
const AttentionKernels<double>& attention_kernels<double>() {
  return HWY_DYNAMIC_DISPATCH(attention_f64)();
}
}  // namespace fovea::simd
#endif
