#include "ops/composite/log_softmax/log_softmax.h"

#include "ops/core/exp/exp.h"
#include "ops/core/log/log.h"
#include "ops/core/max/max.h"
#include "ops/core/stop_gradient/stop_gradient.h"
#include "ops/core/sum/sum.h"
#include "ops/shared/gradients.h"
#include "ops/shared/rows.h"
#include "ops/shared/simd/softmax.h"

namespace fovea {

FOVEA_OP(log_softmax) {
  op.doc("y_i = (x_i - max x) - log sum_j exp(x_j - max x) along one axis. A row of only -inf gives NaN.")
      .input("x", Types::floating)
      .output("y")
      .attr("axis", -1, "the axis along which exp(y) sums to 1")
      .infer([](InferContext& c) {
        c.axis("axis", c.rank(0));
        c.output(c.in[0]);
      })
      .decompose([](const OpArgs& a) {
        const int64_t axis = a.attrs.integer("axis");
        if (a.in[0].dim(axis) == Dim(0)) return Tensors{a.in[0]};  // empty rows have no largest element
        const Tensor shifted = a.in[0] - stop_gradient(max(a.in[0], {axis}, true));
        return Tensors{shifted - log(sum(exp(shifted), {axis}, true))};
      })
      .gradient([](const GradArgs& a) {
        return Tensors{
            apply1("log_softmax_backward", {a.out[0], a.grad[0]}, {{"axis", a.attrs.integer("axis")}})};
      })
      .sample({In{2, 5}})
      .sample({In{2, 3, 4}}, {{"axis", 1}})
      .sample({In{3}})
      .sample_error({In{2, 3}}, {{"axis", 2}}, "axis 2 is out of range for rank 2");
}

FOVEA_OP(log_softmax_backward) {
  op.doc(
        "dx = g - exp(y) sum(g) along one axis: the gradient of log_softmax from its result y and y's "
        "gradient g.")
      .input("y", Types::floating)
      .input("g", Types::floating)
      .output("dx")
      .attr("axis", -1)
      .infer([](InferContext& c) {
        c.axis("axis", c.rank(0));
        c.same_dtype(0, 1);
        c.same_shape(0, 1);
        c.output(c.in[0]);
      })
      .decompose([](const OpArgs& a) {
        return Tensors{a.in[1] - exp(a.in[0]) * sum(a.in[1], {a.attrs.integer("axis")}, true)};
      })
      .sample({In{2, 5}, In{2, 5}})
      .sample({In{2, 5, 3}, In{2, 5, 3}}, {{"axis", 1}})
      .sample_error({In{2, 5}, In{2, 4}}, {}, "y and g differ in shape");
}

FOVEA_KERNEL(cpu, log_softmax, rows) {
  kernel.dtypes({DType::f32, DType::f64, DType::f16, DType::bf16})
      .in_place(0)
      .prepare([](const KernelRequest& r) {
        const LaneKernel lanes(r.in[0], r.attrs.integer("axis"), 1);
        const auto forward = simd::softmax_kernels(r.in[0].dtype)->log_softmax;
        return make_prepared(
            [=](const KernelArgs& args) {
              lanes.run(args, [&](const void* const* in, void* y, size_t rows, size_t n) {
                forward(in[0], y, rows, n);
              });
            },
            lanes.workspace());
      });
}

FOVEA_KERNEL(cpu, log_softmax_backward, rows) {
  kernel.dtypes({DType::f32, DType::f64, DType::f16, DType::bf16})
      .in_place(0)
      .in_place(1)
      .prepare([](const KernelRequest& r) {
        const LaneKernel lanes(r.in[0], r.attrs.integer("axis"), 2);
        const auto backward = simd::softmax_kernels(r.in[0].dtype)->log_softmax_backward;
        return make_prepared(
            [=](const KernelArgs& args) {
              lanes.run(args, [&](const void* const* in, void* dx, size_t rows, size_t n) {
                backward(in[0], in[1], dx, rows, n);
              });
            },
            lanes.workspace());
      });
}

Tensor log_softmax(const Arg& x, int64_t axis) {
  return apply1("log_softmax", {to_tensor(x, DType::f32)}, {{"axis", axis}}, x.source);
}

}  // namespace fovea
