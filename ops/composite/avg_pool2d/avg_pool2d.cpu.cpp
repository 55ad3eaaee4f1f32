#include "ops/shared/pooling.cpu.h"

namespace fovea {

FOVEA_KERNEL(cpu, avg_pool2d, planes) {
  pooling_conditions(kernel).prepare([](const KernelRequest& r) {
    return make_prepared(
        [plan = pooling_plan(onednn::PoolKind::Average, r.attrs, r.in[0], r.out[0])](const KernelArgs& args) {
          plan.forward(args.in[0], args.out[0], nullptr, args.pool);
        });
  });
}

FOVEA_KERNEL(cpu, avg_pool2d_backward, planes) {
  pooling_conditions(kernel).prepare([](const KernelRequest& r) {
    return make_prepared(
        [plan = pooling_plan(onednn::PoolKind::Average, r.attrs, r.out[0], r.in[0])](const KernelArgs& args) {
          plan.backward(nullptr, nullptr, args.in[0], args.out[0], args.pool);
        });
  });
}

}  // namespace fovea
