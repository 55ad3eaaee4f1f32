#include "ops/composite/ema_update/ema_update.h"

#include "ops/shared/gradients.h"
#include "ops/shared/simd/optimizer.h"
#include "ops/shared/updates.h"

namespace fovea {

FOVEA_OP(ema_update) {
  op.doc("average + (1 - decay) (value - average): one step of an exponential moving average.")
      .input("average", Types::floating)
      .input("value", Types::floating)
      .attr("decay", 0.999)
      .infer([](InferContext& c) {
        const double decay = c.attrs.number("decay");
        if (!(decay >= 0 && decay <= 1)) c.fail("decay " + std::to_string(decay) + " is not between 0 and 1");
        check_state(c, 1);
        c.output(c.in[0]);
      })
      .decompose([](const OpArgs& a) {
        return Tensors{a.in[0] + (1 - a.attrs.number("decay")) * (a.in[1] - a.in[0])};
      })
      .sample({In{2, 3}, In{2, 3}}, {{"decay", 0.9}})
      .sample_error({In{2, 3}, In{2, 4}}, {}, "average and value differ in shape: axis 1 is 3 against 4")
      .sample_error({In{2}, In{2}}, {{"decay", 1.5}}, "decay 1.500000 is not between 0 and 1");
}

FOVEA_KERNEL(cpu, ema_update, sweep) {
  kernel.dtypes({DType::f32}).in_place(0).prepare([](const KernelRequest& r) {
    const Blocks blocks = update_blocks(r.in[0].size());
    return make_prepared([blocks, decay = r.attrs.number("decay")](const KernelArgs& args) {
      for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
        copy_range(args.in[0], args.out[0], begin, end, 4);
        simd::ema_update(args.output<float>(0) + begin, args.input<float>(1) + begin, decay,
                         static_cast<size_t>(end - begin));
      });
    });
  });
}

Tensor ema_update(const Tensor& average, const Tensor& value, double decay, Source source) {
  return apply1("ema_update", {average, value}, {{"decay", decay}}, source);
}

}  // namespace fovea
