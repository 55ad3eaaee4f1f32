// Convolutions in f32 (and halves through f32) by oneDNN; f64 goes through the decomposition.
#include "framework/backend/cpu/onednn/conv.h"
#include "framework/backend/kernel.h"
#include "ops/shared/windows.h"

namespace fovea {
namespace {

using onednn::ConvPass;

// All sizes but the batch's are at least 1: empty tensors go through the decomposition.
bool not_empty(const KernelRequest& r) {
  for (const auto* operands : {&r.in, &r.out})
    for (const OperandSpec& s : *operands)
      for (size_t d = s.rank() == 4 ? 1 : 0; d < s.shape.size(); ++d)
        if (s.shape[d] < 1) return false;
  return true;
}

// oneDNN divides by zero for sizes beyond 32 bits.
bool fits(const KernelRequest& r) {
  for (const auto* operands : {&r.in, &r.out})
    for (const OperandSpec& s : *operands)
      for (int64_t d : s.shape)
        if (d > INT32_MAX) return false;
  return true;
}

onednn::ConvDesc describe(ConvPass pass, const KernelRequest& r, const OperandSpec& x,
                          const OperandSpec& weight) {
  const Windows w = windows_of(r.attrs, weight.shape[2], weight.shape[3]);
  onednn::ConvDesc d;
  d.pass = pass;
  d.dtype = x.dtype;
  d.batch = x.shape[0];
  d.in_channels = x.shape[1];
  d.out_channels = weight.shape[0];
  d.groups = r.attrs.integer("groups");
  for (int i = 0; i < 2; ++i) {
    d.in[i] = x.shape[2 + i];
    d.kernel[i] = w.kernel[i];
    d.stride[i] = w.stride[i];
    d.dilation[i] = w.dilation[i];
    d.pad_before[i] = w.low[i];
    d.pad_after[i] = w.high[i];
  }
  return d;
}

// set(arguments, launch) says which operand is which.
template <class Set>
std::unique_ptr<PreparedKernel> prepared(const onednn::ConvDesc& d, Set set) {
  onednn::ConvPlan plan(d);
  const int64_t workspace = plan.workspace_bytes();
  return make_prepared(
      [plan = std::move(plan), set](const KernelArgs& args) {
        onednn::ConvArgs c;
        c.workspace = args.workspace;
        set(c, args);
        plan.run(c, args.pool);
      },
      workspace);
}

void* read(const KernelArgs& args, int i) { return const_cast<void*>(args.in[i]); }

Kernel& conditions(Kernel& kernel) {
  return kernel.dtypes({DType::f32, DType::bf16, DType::f16})
      .when(not_empty, "an operand is empty")
      .when(fits, "a size exceeds 2^31 - 1");
}

}  // namespace

FOVEA_KERNEL(cpu, conv2d, onednn) {
  conditions(kernel).prepare([](const KernelRequest& r) {
    onednn::ConvDesc d = describe(ConvPass::Forward, r, r.in[0], r.in[1]);
    d.bias = r.in.size() > 2;
    return prepared(d, [bias = d.bias](onednn::ConvArgs& c, const KernelArgs& args) {
      c.input = read(args, 0), c.weights = read(args, 1), c.output = args.out[0];
      if (bias) c.bias = read(args, 2);
    });
  });
}

FOVEA_KERNEL(cpu, conv2d_backward_input, onednn) {
  conditions(kernel).prepare([](const KernelRequest& r) {
    return prepared(describe(ConvPass::BackwardData, r, r.out[0], r.in[1]),
                    [](onednn::ConvArgs& c, const KernelArgs& args) {
                      c.output = read(args, 0), c.weights = read(args, 1), c.input = args.out[0];
                    });
  });
}

FOVEA_KERNEL(cpu, conv2d_backward_weight, onednn) {
  conditions(kernel).prepare([](const KernelRequest& r) {
    return prepared(describe(ConvPass::BackwardWeights, r, r.in[0], r.out[0]),
                    [](onednn::ConvArgs& c, const KernelArgs& args) {
                      c.input = read(args, 0), c.output = read(args, 1), c.weights = args.out[0];
                    });
  });
}

}  // namespace fovea
