// The inner loops of attention in f32.
#include "ops/shared/simd/attention.h"
#include "ops/shared/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/simd/attention_f32.cpp"
#include "hwy/foreach_target.h"
#include "ops/shared/simd/attention-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {

const AttentionKernels<float>& attention_f32() {
  static const AttentionKernels<float> kernels = make_attention_kernels<float>();
  return kernels;
}

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::simd {
HWY_EXPORT(attention_f32);
template <>
const AttentionKernels<float>& attention_kernels<float>() {
  return HWY_DYNAMIC_DISPATCH(attention_f32)();
}
}  // namespace fovea::simd
#endif
