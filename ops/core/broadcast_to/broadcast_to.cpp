#include "ops/core/broadcast_to/broadcast_to.h"

#include "ops/shared/box_copy.h"
#include "ops/shared/gradients.h"

namespace fovea {
namespace {

bool view(const Attrs&, const Dims& shape, const Dims& strides, const Dims& to, Dims& out, int64_t&) {
  out.assign(to.size(), 0);
  const size_t lead = to.size() - shape.size();
  for (size_t d = 0; d < shape.size(); ++d) out[lead + d] = shape[d] == 1 ? 0 : strides[d];
  return true;
}

}  // namespace

FOVEA_OP(broadcast_to) {
  op.doc("The operand repeated along axes of size 1 and along new leading axes until it has `shape`.")
      .input("x")
      .required_attr("shape", Shape{})
      .infer([](InferContext& c) {
        const Shape shape = c.attrs.shape("shape");
        if (shape.size() < c.shape(0).size() || shape.size() > kMaxRank)
          c.fail(to_string(c.shape(0)) + " does not broadcast to " + to_string(shape));
        const size_t lead = shape.size() - c.shape(0).size();
        for (size_t d = 0; d < c.shape(0).size(); ++d)
          if (c.shape(0)[d] != Dim(1))
            c.same(c.shape(0)[d], shape[lead + d],
                   to_string(c.shape(0)) + " does not broadcast to " + to_string(shape) + ": axis " +
                       std::to_string(lead + d) + " is {a} against {b}");
        c.output(c.dtype(0), shape);
      })
      .view(view)
      .gradient([](const GradArgs& a) { return Tensors{reduce_to(a.grad[0], a.in[0])}; })
      .sample({In{3}}, {{"shape", Shape{2, 3}}})
      .sample({In{2, 1, 3}}, {{"shape", Shape{2, 4, 3}}})
      .sample({In{}}, {{"shape", Shape{2, 2}}})
      .sample_error({In{3}}, {{"shape", Shape{2, 4}}},
                    "[3] does not broadcast to [2, 4]: axis 1 is 3 against 4")
      .sample_error({In{2, 3}}, {{"shape", Shape{3}}}, "[2, 3] does not broadcast to [3]");
}

FOVEA_KERNEL(reference, broadcast_to, loops) { reference_view_copy(kernel, view); }
FOVEA_KERNEL(cpu, broadcast_to, rows) { cpu_view_copy(kernel, view); }

Tensor broadcast_to(const Arg& x, Shape shape) {
  return apply1("broadcast_to", {to_tensor(x, DType::f32)}, {{"shape", std::move(shape)}}, x.source);
}

}  // namespace fovea
