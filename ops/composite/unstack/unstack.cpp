#include "ops/composite/unstack/unstack.h"

#include "graph/ir/op.h"
#include "ops/core/concat/concat.h"
#include "ops/core/full/full.h"
#include "ops/core/slice/slice.h"

namespace fovea {
namespace {

constexpr int64_t kMostResults = 65536;  // one node each

}  // namespace

FOVEA_OP(unstack) {
  op.doc("The slices along one axis, without it: one result for each.")
      .input("x")
      .attr("axis", 0)
      .infer([](InferContext& c) {
        const int64_t axis = c.axis("axis", c.rank(0));
        const Dim& n = c.shape(0)[axis];
        if (!n.is_const())
          c.fail("axis " + std::to_string(axis) + " has size " + n.str() + ", a number is needed: use scan");
        if (n.value() == 0)
          c.fail("axis " + std::to_string(axis) + " has size 0: there is nothing to return");
        if (n.value() > kMostResults)
          c.fail("axis " + std::to_string(axis) + " has size " + n.str() + ", the most is " +
                 std::to_string(kMostResults) + ": use scan");
        Shape shape = c.shape(0);
        shape.erase(shape.begin() + axis);
        for (int64_t i = 0; i < n.value(); ++i) c.output(c.dtype(0), shape);
      })
      .decompose([](const OpArgs& a) { return unbind(a.in[0], a.attrs.integer("axis")); })
      .gradient([](const GradArgs& a) {
        Tensors parts;
        for (size_t i = 0; i < a.grad.size(); ++i)
          parts.push_back(a.grad[i].defined() ? a.grad[i] : zeros_like(a.out[i]));
        return Tensors{stack(parts, a.attrs.integer("axis"))};
      })
      .sample({In{3, 2}})
      .sample({In{2, 3, 4}}, {{"axis", 1}})
      .sample_error({In{2, 0}}, {{"axis", 1}}, "axis 1 has size 0: there is nothing to return")
      .sample_error({In{70000, 0}}, {}, "axis 0 has size 70000, the most is 65536")
      .sample_error({In{2, 3}}, {{"axis", 2}}, "axis 2 is out of range for rank 2");
}

std::vector<Tensor> unstack(const Arg& x, int64_t axis) {
  return apply("unstack", {to_tensor(x, DType::f32)}, {{"axis", axis}}, x.source);
}

}  // namespace fovea
