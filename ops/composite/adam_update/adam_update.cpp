#include "ops/composite/adam_update/adam_update.h"

#include "ops/core/cast/cast.h"
#include "ops/core/pow/pow.h"
#include "ops/core/sqrt/sqrt.h"
#include "ops/shared/gradients.h"
#include "ops/shared/simd/optimizer.h"
#include "ops/shared/updates.h"

namespace fovea {
namespace {

enum Operand { kParam, kGrad, kM, kV, kLr, kStep, kScale };

void infer(InferContext& c) {
  c.same_shape(kParam, kGrad);
  check_state(c, kM);
  check_state(c, kV);
  for (size_t i = kLr; i < c.in.size(); ++i) check_scalar(c, i);
  for (const char* name : {"beta1", "beta2"}) {
    const double beta = c.attrs.number(name);
    if (!(beta >= 0 && beta < 1))
      c.fail(std::string(name) + " " + std::to_string(beta) + " is not in [0, 1)");
  }
  c.output(c.in[kParam]);
  c.output(c.in[kM]);
  c.output(c.in[kV]);
}

// The corrections are made in f64: 1 - beta2^step would lose most of its digits in f32.
Tensors decompose(const OpArgs& a) {
  const DType dtype = a.in[kParam].dtype();
  const double beta1 = a.attrs.number("beta1"), beta2 = a.attrs.number("beta2"),
               decay = a.attrs.number("weight_decay");
  const Tensor step = cast(a.in[kStep], DType::f64), lr = cast(a.in[kLr], DType::f64);
  const Tensor rate = cast(lr / (1.0 - pow(beta1, step)), dtype);
  const Tensor rescale = cast(sqrt(1.0 - pow(beta2, step)), dtype);
  Tensor param = a.in[kParam], g = cast(a.in[kGrad], dtype);
  if (a.in.size() > kScale) g = g * cast(a.in[kScale], dtype);
  if (decay != 0) {
    if (a.attrs.flag("decoupled"))
      param = param * cast(1.0 - decay * lr, dtype);
    else
      g = g + decay * param;
  }
  const Tensor m = a.in[kM] + (1 - beta1) * (g - a.in[kM]);
  const Tensor v = beta2 * a.in[kV] + (1 - beta2) * (g * g);
  return {param - rate * (m / (sqrt(v) / rescale + a.attrs.number("eps"))), m, v};
}

}  // namespace

FOVEA_OP(adam_update) {
  op.doc(
        "One step of Adam (Kingma and Ba 2014) or, decoupled, AdamW (Loshchilov and Hutter 2017): m + (1 - "
        "beta1) (g - m); beta2 v + (1 - beta2) g^2; param - lr / (1 - beta1^step) m / (sqrt(v) / sqrt(1 - "
        "beta2^step) + eps).")
      .input("param", Types::floating)
      .input("grad", Types::floating)
      .input("m", Types::floating)
      .input("v", Types::floating)
      .input("lr", Types::floating)
      .input("step", Types::numeric)
      .optional_input("grad_scale", Types::floating)
      .output("param")
      .output("m")
      .output("v")
      .attr("beta1", 0.9)
      .attr("beta2", 0.999)
      .attr("eps", 1e-8)
      .attr("weight_decay", 0.0)
      .attr("decoupled", false, "AdamW: weight decay on the parameters, not in the gradient")
      .infer(infer)
      .decompose(decompose)
      .sample(
          {In{2, 3}, In{2, 3}, In{2, 3}, In({2, 3}).range(0.1, 1), In({}).range(0.01, 0.1), ints({}, 1, 5)},
          {{"beta2", 0.9}})
      .sample({In{4}, In{4}, In{4}, In({4}).range(0.1, 1), In({}).range(0.01, 0.1), ints({}, 1, 5),
               In({}).range(0.5, 1)},
              {{"beta2", 0.9}, {"weight_decay", 0.1}, {"decoupled", true}})
      .sample_error({In{4}, In{3}, In{4}, In{4}, In{}, In{}}, {},
                    "param and grad differ in shape: axis 0 is 4 against 3")
      .sample_error({In{4}, In{4}, In{4}, In{4}, In{}, In{}}, {{"beta1", 1.0}},
                    "beta1 1.000000 is not in [0, 1)");
}

FOVEA_KERNEL(cpu, adam_update, sweep) {
  sweep_conditions(kernel).in_place(kParam, 0).in_place(kM, 1).in_place(kV, 2).prepare(
      [](const KernelRequest& r) {
        simd::AdamArgs fixed;
        fixed.beta1 = r.attrs.number("beta1");
        fixed.beta2 = r.attrs.number("beta2");
        fixed.eps = r.attrs.number("eps");
        fixed.weight_decay = r.attrs.number("weight_decay");
        fixed.decoupled = r.attrs.flag("decoupled");
        const Blocks blocks = update_blocks(r.in[kParam].size());
        const DType grad = r.in[kGrad].dtype, lr = r.in[kLr].dtype, step = r.in[kStep].dtype;
        const bool has_scale = r.in.size() > kScale;
        const DType scale = has_scale ? r.in[kScale].dtype : DType::f32;
        return make_prepared([=](const KernelArgs& args) {
          simd::AdamArgs now = fixed;
          now.lr = scalar_value(lr, args.in[kLr]);
          const double count = scalar_value(step, args.in[kStep]);
          now.step = count >= 0 ? static_cast<int64_t>(std::min(count, 0x1p53)) : 0;
          if (has_scale) now.grad_scale = scalar_value(scale, args.in[kScale]);
          for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
            copy_range(args.in[kParam], args.out[0], begin, end, 4);
            copy_range(args.in[kM], args.out[1], begin, end, 4);
            copy_range(args.in[kV], args.out[2], begin, end, 4);
            simd::adam_update(now, args.output<float>(0) + begin,
                              args.input<char>(kGrad) + begin * size_of(grad), grad,
                              args.output<float>(1) + begin, args.output<float>(2) + begin, nullptr,
                              static_cast<size_t>(end - begin));
          });
        });
      });
}

AdamResult adam_update(const Tensor& param, const Tensor& grad, const Tensor& m, const Tensor& v,
                       const Tensor& lr, const Tensor& step, const AdamOptions& o, const Tensor& grad_scale,
                       Source source) {
  const Tensors out = apply("adam_update", {param, grad, m, v, lr, step, grad_scale},
                            {{"beta1", o.beta1},
                             {"beta2", o.beta2},
                             {"eps", o.eps},
                             {"weight_decay", o.weight_decay},
                             {"decoupled", o.decoupled}},
                            source);
  return {out[0], out[1], out[2]};
}

}  // namespace fovea
