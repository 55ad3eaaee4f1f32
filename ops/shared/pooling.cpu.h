// From a pooling node to the adapter's plan.
#pragma once

#include <algorithm>

#include "framework/backend/cpu/onednn/pool.h"
#include "framework/backend/kernel.h"
#include "ops/shared/windows.h"

namespace fovea {

/// `x` is the operand or result with the size of the input, `pooled` the one with the size of the output.
inline onednn::PoolPlan pooling_plan(onednn::PoolKind kind, const Attrs& attrs, const OperandSpec& x,
                                     const OperandSpec& pooled) {
  const Windows w = pooling_windows(attrs);
  onednn::PoolDesc d;
  d.kind = kind;
  d.dtype = x.dtype;
  d.planes = x.shape[0] * x.shape[1];
  d.count_include_pad = kind == onednn::PoolKind::Average && attrs.flag("count_include_pad");
  for (int i = 0; i < 2; ++i) {
    d.in[i] = x.shape[2 + i];
    d.kernel[i] = w.kernel[i];
    d.stride[i] = w.stride[i];
    d.dilation[i] = w.dilation[i];
    d.pad_before[i] = w.low[i];
    d.pad_after[i] =
        w.ceil ? std::max<int64_t>(0, w.behind(i, d.in[i], pooled.shape[2 + i]).value()) : w.high[i];
  }
  return onednn::PoolPlan(d);
}

inline Kernel& pooling_conditions(Kernel& kernel) {
  kernel.dtypes({DType::f32, DType::f64, DType::bf16, DType::f16});
  return kernel.when(
      [](const KernelRequest& r) {
        for (const auto* operands : {&r.in, &r.out})
          for (const OperandSpec& s : *operands)
            if (s.size() == 0) return false;
        return true;
      },
      "an operand is empty");
}

}  // namespace fovea
