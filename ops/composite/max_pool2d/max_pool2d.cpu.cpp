#include "ops/shared/pooling.cpu.h"

namespace fovea {

FOVEA_KERNEL(cpu, max_pool2d, planes) {
  pooling_conditions(kernel).prepare([](const KernelRequest& r) {
    return make_prepared(
        [plan = pooling_plan(onednn::PoolKind::Max, r.attrs, r.in[0], r.out[0])](const KernelArgs& args) {
          plan.forward(args.in[0], args.out[0], nullptr, args.pool);
        });
  });
}

FOVEA_KERNEL(cpu, max_pool2d_backward, planes) {
  pooling_conditions(kernel).prepare([](const KernelRequest& r) {
    return make_prepared(
        [plan = pooling_plan(onednn::PoolKind::Max, r.attrs, r.in[0], r.in[1])](const KernelArgs& args) {
          plan.backward(args.in[0], nullptr, args.in[1], args.out[0], args.pool);
        });
  });
}

}  // namespace fovea
