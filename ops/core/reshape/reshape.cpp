#include "ops/core/reshape/reshape.h"

#include "ops/shared/box_copy.h"
#include "ops/shared/indexing.h"

namespace fovea {
namespace {

bool view(const Attrs&, const Dims& shape, const Dims& strides, const Dims& to, Dims& out, int64_t&) {
  auto found = reshaped_strides(shape, strides, to);
  if (found) out = std::move(*found);
  return found.has_value();
}

// Replaces a -1 by what is left of the elements.
Shape resolve(InferContext& c, Shape shape) {
  int64_t open = -1;
  Dim known = 1;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] == Dim(-1)) {
      if (open >= 0) c.fail("more than one size of " + to_string(shape) + " is -1");
      open = static_cast<int64_t>(d);
    } else {
      if (shape[d].is_const() && shape[d].value() < 0)
        c.fail("negative size " + shape[d].str() + " in " + to_string(shape));
      known = known * shape[d];
    }
  }
  const Dim total = product(c.shape(0));
  const std::string what = to_string(c.shape(0)) + " with {a} elements cannot take shape " + to_string(shape);
  if (open < 0) {
    c.same(total, known, what + " with {b}");
    return shape;
  }
  if (known == Dim(0)) c.fail("the size -1 of " + to_string(shape) + " is not determined: another size is 0");
  const auto left = exact_div(total, known);
  if (!left && total.is_const() && known.is_const())
    c.fail(to_string(c.shape(0)) + " with " + total.str() + " elements cannot take shape " +
           to_string(shape) + ": " + known.str() + " does not divide them");
  if (!left)
    c.guards.push_back(
        {total, known, true, "reshape: " + known.str() + " does not divide " + total.str(), {}});
  shape[open] = left ? *left : floor_div(total, known);
  return shape;
}

}  // namespace

FOVEA_OP(reshape) {
  op.doc("The elements in row-major order with another shape; one size may be -1.")
      .input("x")
      .required_attr("shape", Shape{})
      .infer([](InferContext& c) {
        if (c.attrs.shape("shape").size() > kMaxRank)
          c.fail("rank " + std::to_string(c.attrs.shape("shape").size()) + " is above the most, 8");
        const Shape shape = resolve(c, c.attrs.shape("shape"));
        c.attrs.set("shape", shape);
        c.output(c.dtype(0), shape);
      })
      .view(view)
      .gradient([](const GradArgs& a) { return Tensors{reshape(a.grad[0], a.in[0].shape())}; })
      .sample({In{2, 6}}, {{"shape", Shape{3, 4}}})
      .sample({In{2, 3, 4}}, {{"shape", Shape{2, -1}}})
      .sample({In{1}}, {{"shape", Shape{}}})
      .sample_error({In{2, 3}}, {{"shape", Shape{4}}}, "[2, 3] with 6 elements cannot take shape [4] with 4")
      .sample_error({In{2, 3}}, {{"shape", Shape{4, -1}}}, "4 does not divide them")
      .sample_error({In{2, 3}}, {{"shape", Shape{-1, -1}}}, "more than one size of [-1, -1] is -1");
}

FOVEA_KERNEL(reference, reshape, loops) { reference_view_copy(kernel, view); }
FOVEA_KERNEL(cpu, reshape, rows) { cpu_view_copy(kernel, view); }

Tensor reshape(const Arg& x, Shape shape) {
  return apply1("reshape", {to_tensor(x, DType::f32)}, {{"shape", std::move(shape)}}, x.source);
}

Tensor squeeze(const Arg& x, std::vector<int64_t> axes) {
  const Tensor t = to_tensor(x, DType::f32);
  std::vector<bool> drop(t.rank(), false);
  for (int64_t a : axes) {
    const int64_t axis = normal_axis("squeeze", a, t.rank());
    if (t.dim(axis) != Dim(1))
      invalid("squeeze: axis " + std::to_string(a) + " has size " + t.dim(axis).str() + ", not 1");
    drop[axis] = true;
  }
  Shape shape;
  for (int64_t d = 0; d < t.rank(); ++d)
    if (!drop[d]) shape.push_back(t.dim(d));
  return reshape(Arg(t, x.source), shape);
}

Tensor squeeze(const Arg& x) {
  const Tensor t = to_tensor(x, DType::f32);
  std::vector<int64_t> axes;
  for (int64_t d = 0; d < t.rank(); ++d)
    if (t.dim(d) == Dim(1)) axes.push_back(d);
  return squeeze(Arg(t, x.source), axes);
}

Tensor unsqueeze(const Arg& x, int64_t axis) {
  const Tensor t = to_tensor(x, DType::f32);
  Shape shape = t.shape();
  shape.insert(shape.begin() + normal_axis("unsqueeze", axis, t.rank() + 1), Dim(1));
  return reshape(Arg(t, x.source), shape);
}

Tensor flatten(const Arg& x, int64_t first, int64_t last) {
  const Tensor t = to_tensor(x, DType::f32);
  if (t.rank() == 0) return reshape(Arg(t, x.source), {1});
  first = normal_axis("flatten", first, t.rank());
  last = normal_axis("flatten", last, t.rank());
  if (first > last)
    invalid("flatten: axis " + std::to_string(first) + " comes after axis " + std::to_string(last));
  const Shape from = t.shape();
  Shape shape(from.begin(), from.begin() + first);
  shape.push_back(product(Shape(from.begin() + first, from.begin() + last + 1)));
  shape.insert(shape.end(), from.begin() + last + 1, from.end());
  return reshape(Arg(t, x.source), shape);
}

}  // namespace fovea
