#include "ops/core/permute/permute.h"

#include <numeric>

#include "ops/shared/box_copy.h"
#include "ops/shared/indexing.h"

namespace fovea {
namespace {

bool view(const Attrs& attrs, const Dims&, const Dims& strides, const Dims&, Dims& out, int64_t&) {
  out.clear();
  for (int64_t a : attrs.ints("axes")) out.push_back(strides[a]);
  return true;
}

void infer(InferContext& c) {
  Ints axes = c.attrs.ints("axes");
  if (static_cast<int64_t>(axes.size()) != c.rank(0))
    c.fail(std::to_string(axes.size()) + " axes for rank " + std::to_string(c.rank(0)));
  std::vector<bool> seen(axes.size(), false);
  Shape shape;
  for (int64_t& a : axes) {
    if (a < -c.rank(0) || a >= c.rank(0))
      c.fail("axis " + std::to_string(a) + " is out of range for rank " + std::to_string(c.rank(0)));
    if (a < 0) a += c.rank(0);
    if (seen[a]) c.fail("axis " + std::to_string(a) + " is given twice");
    seen[a] = true;
    shape.push_back(c.shape(0)[a]);
  }
  c.attrs.set("axes", axes);
  c.output(c.dtype(0), shape);
}

}  // namespace

FOVEA_OP(permute) {
  op.doc("Axis i of the result is axis axes[i] of the operand.")
      .input("x")
      .required_attr("axes", Ints{})
      .infer(infer)
      .view(view)
      .gradient([](const GradArgs& a) {
        const Ints& axes = a.attrs.ints("axes");
        Ints back(axes.size());
        for (size_t i = 0; i < axes.size(); ++i) back[axes[i]] = static_cast<int64_t>(i);
        return Tensors{permute(a.grad[0], back)};
      })
      .sample({In{2, 3}}, {{"axes", Ints{1, 0}}})
      .sample({In{2, 3, 4}}, {{"axes", Ints{2, 0, 1}}})
      .sample({In{2, 3, 4}}, {{"axes", Ints{0, -1, 1}}})
      .sample_error({In{2, 3}}, {{"axes", Ints{0}}}, "1 axes for rank 2")
      .sample_error({In{2, 3}}, {{"axes", Ints{0, 2}}}, "axis 2 is out of range for rank 2")
      .sample_error({In{2, 3}}, {{"axes", Ints{0, -2}}}, "axis 0 is given twice");
}

FOVEA_KERNEL(reference, permute, loops) { reference_view_copy(kernel, view); }
FOVEA_KERNEL(cpu, permute, rows) { cpu_view_copy(kernel, view); }

Tensor permute(const Arg& x, std::vector<int64_t> axes) {
  return apply1("permute", {to_tensor(x, DType::f32)}, {{"axes", std::move(axes)}}, x.source);
}

Tensor transpose(const Arg& x, int64_t a, int64_t b) {
  const Tensor t = to_tensor(x, DType::f32);
  Ints axes(t.rank());
  std::iota(axes.begin(), axes.end(), 0);
  std::swap(axes[normal_axis("transpose", a, t.rank())], axes[normal_axis("transpose", b, t.rank())]);
  return permute(Arg(t, x.source), axes);
}

Tensor move_axis(const Arg& x, int64_t from, int64_t to) {
  const Tensor t = to_tensor(x, DType::f32);
  from = normal_axis("move_axis", from, t.rank());
  to = normal_axis("move_axis", to, t.rank());
  Ints axes(t.rank());
  std::iota(axes.begin(), axes.end(), 0);
  axes.erase(axes.begin() + from);
  axes.insert(axes.begin() + to, from);
  return permute(Arg(t, x.source), axes);
}

}  // namespace fovea
