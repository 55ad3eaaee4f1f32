#include "ops/composite/sgd_update/sgd_update.h"

#include "ops/core/cast/cast.h"
#include "ops/core/full/full.h"
#include "ops/core/less/less.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"
#include "ops/shared/simd/optimizer.h"
#include "ops/shared/updates.h"

namespace fovea {
namespace {

enum Operand { kParam, kGrad, kLr, kScale, kVelocity, kStep };

void infer(InferContext& c) {
  c.same_shape(kParam, kGrad);
  check_scalar(c, kLr);
  check_scalar(c, kScale);
  const bool has_velocity = c.in.size() > kVelocity;
  if (has_velocity) check_state(c, kVelocity);
  if (c.in.size() > kStep) check_scalar(c, kStep);
  const double momentum = c.attrs.number("momentum"), dampening = c.attrs.number("dampening");
  if (momentum != 0 && !has_velocity) c.fail("momentum " + std::to_string(momentum) + " needs a velocity");
  if (dampening != 0 && c.in.size() <= kStep)
    c.fail("dampening " + std::to_string(dampening) + " needs the step");
  if (c.attrs.flag("nesterov") && (momentum == 0 || dampening != 0))
    c.fail("nesterov needs momentum and no dampening, got " + std::to_string(momentum) + " and " +
           std::to_string(dampening));
  c.output(c.in[kParam]);
  if (has_velocity) c.output(c.in[kVelocity]);
}

Tensors decompose(const OpArgs& a) {
  const Tensor& param = a.in[kParam];
  const DType dtype = param.dtype();
  const double momentum = a.attrs.number("momentum"), dampening = a.attrs.number("dampening");
  const double decay = a.attrs.number("weight_decay");
  const Tensor lr = cast(a.in[kLr], dtype);
  Tensor g = cast(a.in[kGrad], dtype) * cast(a.in[kScale], dtype);
  if (decay != 0) g = g + decay * param;
  if (a.in.size() <= kVelocity) return {param - lr * g};
  Tensor fresh = g;
  if (dampening != 0) fresh = where(less(a.in[kStep], 2), g, (1 - dampening) * g);
  const Tensor velocity = momentum * a.in[kVelocity] + fresh;
  const Tensor move = a.attrs.flag("nesterov") ? g + momentum * velocity : velocity;
  return {param - lr * move, velocity};
}

}  // namespace

FOVEA_OP(sgd_update) {
  op.doc(
        "One step of stochastic gradient descent: g = grad_scale grad + weight_decay param; velocity = "
        "momentum velocity + (1 - dampening) g, without dampening at step 1; param - lr times velocity, g + "
        "momentum velocity (nesterov), or g where there is no velocity.")
      .input("param", Types::floating)
      .input("grad", Types::floating)
      .input("lr", Types::floating)
      .input("grad_scale", Types::floating)
      .optional_input("velocity", Types::floating)
      .optional_input("step", Types::numeric)
      .output("param")
      .output("velocity")
      .attr("momentum", 0.0)
      .attr("dampening", 0.0)
      .attr("weight_decay", 0.0)
      .attr("nesterov", false)
      .infer(infer)
      .decompose(decompose)
      .sample({In{2, 3}, In{2, 3}, In({}).range(0.01, 0.1), In({}).range(0.5, 1)}, {{"weight_decay", 0.1}})
      .sample({In{4}, In{4}, In({}).range(0.01, 0.1), In({}).range(0.5, 1), In{4}},
              {{"momentum", 0.9}, {"nesterov", true}})
      .sample({In{4}, In{4}, In({}).range(0.01, 0.1), In({}).range(0.5, 1), In{4}, ints({}, 1, 4)},
              {{"momentum", 0.9}, {"dampening", 0.5}})
      .sample_error({In{4}, In{4}, In{}, In{}}, {{"momentum", 0.9}}, "momentum 0.900000 needs a velocity")
      .sample_error({In{4}, In{3}, In{}, In{}}, {}, "param and grad differ in shape: axis 0 is 4 against 3")
      .sample_error({In{4}, In{4}, In{1}, In{}}, {}, "lr must be a scalar, got [1]");
}

FOVEA_KERNEL(cpu, sgd_update, sweep) {
  sweep_conditions(kernel)
      .when([](const KernelRequest& r) { return r.attrs.number("dampening") == 0; }, "dampening is not 0")
      .in_place(kParam, 0)
      .in_place(kVelocity, 1)
      .prepare([](const KernelRequest& r) {
        simd::SgdArgs fixed;
        fixed.momentum = r.attrs.number("momentum");
        fixed.weight_decay = r.attrs.number("weight_decay");
        fixed.nesterov = r.attrs.flag("nesterov");
        const Blocks blocks = update_blocks(r.in[kParam].size());
        const DType lr = r.in[kLr].dtype, scale = r.in[kScale].dtype, grad = r.in[kGrad].dtype;
        return make_prepared([=, has_velocity = r.in.size() > kVelocity](const KernelArgs& args) {
          simd::SgdArgs step = fixed;
          step.lr = scalar_value(lr, args.in[kLr]);
          step.grad_scale = scalar_value(scale, args.in[kScale]);
          for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
            copy_range(args.in[kParam], args.out[0], begin, end, 4);
            if (has_velocity) copy_range(args.in[kVelocity], args.out[1], begin, end, 4);
            simd::sgd_update(step, args.output<float>(0) + begin,
                             args.input<char>(kGrad) + begin * size_of(grad), grad,
                             has_velocity ? args.output<float>(1) + begin : nullptr, nullptr,
                             static_cast<size_t>(end - begin));
          });
        });
      });
}

SgdResult sgd_update(const Tensor& param, const Tensor& grad, const Tensor& lr, const SgdOptions& o,
                     const Tensor& velocity, const Tensor& step, const Tensor& grad_scale, Source source) {
  const Tensor scale = grad_scale.defined() ? grad_scale : scalar(1.0, DType::f32, source);
  const Tensors out = apply("sgd_update", {param, grad, lr, scale, velocity, step},
                            {{"momentum", o.momentum},
                             {"dampening", o.dampening},
                             {"weight_decay", o.weight_decay},
                             {"nesterov", o.nesterov}},
                            source);
  return {out[0], out.size() > 1 ? out[1] : Tensor()};
}

}  // namespace fovea
