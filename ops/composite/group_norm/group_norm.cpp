#include "ops/composite/group_norm/group_norm.h"

#include "ops/composite/layer_norm/layer_norm.h"
#include "ops/shared/norms.h"

namespace fovea {

FOVEA_OP(group_norm) {
  op.doc(
        "x [N, C, ...] normalised over each of groups equal groups of channels of each sample, then scaled "
        "by gamma and shifted by beta, both [C] (Wu and He 2018).")
      .input("x", Types::floating)
      .optional_input("gamma", Types::floating)
      .optional_input("beta", Types::floating)
      .attr("groups", 1)
      .attr("eps", 1e-5)
      .infer([](InferContext& c) {
        check_eps(c);
        if (c.rank(0) < 2)
          c.fail("x has rank " + std::to_string(c.rank(0)) + ", it needs a batch and a channel axis");
        const int64_t groups = c.attrs.integer("groups");
        const Dim& channels = c.shape(0)[1];
        if (groups < 1 || !exact_div(channels, Dim(groups)))
          c.fail(channels.str() + " channels do not form " + std::to_string(groups) + " equal groups");
        for (size_t i = 1; i < c.in.size(); ++i) check_channel_parameter(c, i, c.dtype(0));
        c.output(c.in[0]);
      })
      .decompose([](const OpArgs& a) {
        const Tensor& x = a.in[0];
        const Shape shape = x.shape();
        const int64_t groups = a.attrs.integer("groups");
        Dim each = *exact_div(shape[1], Dim(groups));
        for (size_t d = 2; d < shape.size(); ++d) each = each * shape[d];
        Tensor y =
            layer_norm(x.reshape({shape[0], groups, each}), {}, {}, a.attrs.number("eps")).reshape(shape);
        if (a.in.size() > 1) y = y * per_channel(a.in[1], x.rank());
        if (a.in.size() > 2) y = y + per_channel(a.in[2], x.rank());
        return Tensors{y};
      })
      .sample({In{2, 4, 3}}, {{"groups", 2}})
      .sample({In{2, 4, 2, 2}, In{4}, In{4}}, {{"groups", 2}})
      .sample({In{3, 6}, In{6}}, {{"groups", 2}})
      .sample_error({In{2, 4, 3}}, {{"groups", 3}}, "4 channels do not form 3 equal groups")
      .sample_error({In{2, 4, 3}, In{3}}, {{"groups", 2}}, "gamma has 3 elements for 4 channels");
}

Tensor group_norm(const Arg& x, int64_t groups, const Tensor& gamma, const Tensor& beta, double eps) {
  return apply1("group_norm", {to_tensor(x, DType::f32), gamma_or_ones(gamma, beta, x.source), beta},
                {{"groups", groups}, {"eps", eps}}, x.source);
}

Tensor instance_norm(const Arg& x, const Tensor& gamma, const Tensor& beta, double eps) {
  const Tensor t = to_tensor(x, DType::f32);
  if (t.rank() < 2)
    invalid("instance_norm: x has rank " + std::to_string(t.rank()) +
            ", it needs a batch and a channel axis");
  return group_norm(Arg(t, x.source), t.dim(1).value(), gamma, beta, eps);
}

}  // namespace fovea
