#include "ops/core/debug_print/debug_print.h"

#include <cstdio>
#include <cstring>

#include "framework/backend/kernel.h"
#include "graph/ir/op.h"

namespace fovea {

FOVEA_OP(debug_print) {
  op.doc("The operand, printed to the standard error stream under a label each time it is computed.")
      .input("x")
      .attr("label", "")
      .side_effect()
      .infer([](InferContext& c) { c.output(c.in[0]); })
      .gradient([](const GradArgs& a) { return Tensors{a.grad[0]}; })
      .sample({In{2, 3}}, {{"label", "sample"}})
      .sample_error({In{2, 3}}, {{"label", 3}}, "is of another kind than");
}

FOVEA_KERNEL(reference, debug_print, print) {
  kernel.priority(0).in_place(0).prepare([](const KernelRequest& r) -> std::unique_ptr<PreparedKernel> {
    return make_prepared([spec = r.in[0], label = r.attrs.text("label")](const KernelArgs& args) {
      const Array x(Buffer::borrow(const_cast<void*>(args.in[0]), spec.nbytes()), spec.dtype, spec.shape,
                    spec.strides, 0);
      const std::string text = (label.empty() ? "" : label + " = ") + x.str() + "\n";
      std::fwrite(text.data(), 1, text.size(), stderr);
      if (args.out[0] != args.in[0] && spec.nbytes() > 0) std::memcpy(args.out[0], args.in[0], spec.nbytes());
    });
  });
}

Tensor debug_print(const Arg& x, std::string label) {
  return apply1("debug_print", {to_tensor(x, DType::f32)}, {{"label", std::move(label)}}, x.source);
}

}  // namespace fovea
