#include "ops/composite/conv2d/conv2d.h"

#include "ops/core/cast/cast.h"
#include "ops/core/concat/concat.h"
#include "ops/core/matmul/matmul.h"
#include "ops/core/permute/permute.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/slice/slice.h"
#include "ops/core/sum/sum.h"
#include "ops/shared/gradients.h"
#include "ops/shared/reductions.h"
#include "ops/shared/windows.h"

// A convolution y = x * w is linear in x and in w, so three ops are closed under gradients of any order: y
// from x and w, dx from dy and w (conv2d_backward_input), dw from x and dy (conv2d_backward_weight).
namespace fovea {
namespace {

std::string str(int64_t v) { return std::to_string(v); }

void check_rank(InferContext& c, size_t i) {
  if (c.rank(i) != 4) c.fail(c.op.inputs()[i].name + " has rank " + str(c.rank(i)) + ", 4 is needed");
}

int64_t infer_groups(InferContext& c) {
  const int64_t groups = c.attrs.integer("groups");
  if (groups < 1) c.fail("groups is " + str(groups) + ", it must be at least 1");
  return groups;
}

// `channels` cut into groups.
Dim part(InferContext& c, const Dim& channels, int64_t groups, std::string_view kind) {
  if (auto each = exact_div(channels, groups)) return *each;
  const std::string text =
      str(groups) + " groups do not divide " + channels.str() + " " + std::string(kind) + " channels";
  if (channels.is_const()) c.fail(text);
  c.guards.push_back({channels, groups, true, c.op.name() + ": " + text, {}});
  return floor_div(channels, groups);
}

int64_t known(InferContext& c, const Dim& size) {
  if (!size.is_const()) c.fail("the kernel has the size " + size.str() + ", which must be a known number");
  if (size.value() < 1 || size.value() > INT32_MAX)
    c.fail("the kernel has the size " + size.str() + ", it must be at least 1 and below 2^31");
  return size.value();
}

// Checks operand i as weight for `groups`; its windows.
Windows infer_weight(InferContext& c, size_t i, int64_t groups) {
  check_rank(c, i);
  part(c, c.shape(i)[0], groups, "output");
  return windows_of(c.attrs, known(c, c.shape(i)[2]), known(c, c.shape(i)[3]));
}

void infer(InferContext& c) {
  check_rank(c, 0);
  c.same_dtype(0, 1);
  infer_windows(c);
  const int64_t groups = infer_groups(c);
  const Windows w = infer_weight(c, 1, groups);
  const Shape &x = c.shape(0), &weight = c.shape(1);
  part(c, x[1], groups, "input");
  c.same(x[1], weight[1] * Dim(groups),
         "x has {a} channels, weight " + to_string(weight) + " with " + str(groups) +
             (groups == 1 ? " group" : " groups") + " takes {b}");
  if (c.in.size() > 2) {
    c.same_dtype(0, 2);
    if (c.rank(2) != 1) c.fail("bias has rank " + str(c.rank(2)) + ", 1 is needed");
    c.same(c.shape(2)[0], weight[0], "bias has {a} elements for {b} output channels");
  }
  c.output(c.dtype(0), {x[0], weight[0], w.count(c.op.name(), 0, x[2]), w.count(c.op.name(), 1, x[3])});
}

// g is the gradient of a convolution of an input with these sizes.
void same_counts(InferContext& c, size_t g, const Windows& w, const Dim& height, const Dim& width) {
  const Dim* size[2] = {&height, &width};
  for (int d = 0; d < 2; ++d)
    c.same(c.shape(g)[2 + d], w.count(c.op.name(), d, *size[d]),
           "g has size {a} along axis " + str(2 + d) + ", a convolution of size " + size[d]->str() +
               " gives {b}");
}

void infer_backward_input(InferContext& c) {
  check_rank(c, 0);
  c.same_dtype(0, 1);
  infer_windows(c);
  const int64_t groups = infer_groups(c);
  const Windows w = infer_weight(c, 1, groups);
  const Shape sizes = c.attrs.shape("sizes");
  if (sizes.size() != 2)
    c.fail("sizes has " + str(static_cast<int64_t>(sizes.size())) + " numbers, 2 are needed");
  c.same(c.shape(0)[1], c.shape(1)[0], "g has {a} channels, weight " + to_string(c.shape(1)) + " gives {b}");
  same_counts(c, 0, w, sizes[0], sizes[1]);
  c.output(c.dtype(0), {c.shape(0)[0], c.shape(1)[1] * Dim(groups), sizes[0], sizes[1]});
}

void infer_backward_weight(InferContext& c) {
  check_rank(c, 0);
  check_rank(c, 1);
  c.same_dtype(0, 1);
  infer_windows(c);
  const int64_t groups = infer_groups(c);
  const Ints kernel = both_axes(c, "kernel");
  const Shape &x = c.shape(0), &g = c.shape(1);
  const Dim in = part(c, x[1], groups, "input");
  part(c, g[1], groups, "output");
  c.same(x[0], g[0], "x has {a} samples, g has {b}");
  same_counts(c, 1, windows_of(c.attrs, kernel[0], kernel[1]), x[2], x[3]);
  c.output(c.dtype(0), {g[1], in, kernel[0], kernel[1]});
}

// [N, C, H, W] -> [N, groups, C / groups * taps, rows * columns]: what each output element sees, as a column.
Tensor columns_of(const Tensor& x, const Windows& w, int64_t groups, const Dim& rows, const Dim& columns) {
  Tensors taps = window_taps(x, w, rows, columns, 0);
  for (Tensor& t : taps) t = reshape(t, {x.dim(0), x.dim(1), 1, rows * columns});
  const Tensor all = taps.size() == 1 ? taps[0] : concat(taps, 2);
  return reshape(all, {x.dim(0), groups, floor_div(x.dim(1), groups) * Dim(w.taps()), rows * columns});
}

// [N, C, rows, columns] -> [N, groups, C / groups, rows * columns]
Tensor grouped(const Tensor& y, int64_t groups) {
  return reshape(y, {y.dim(0), groups, floor_div(y.dim(1), groups), y.dim(2) * y.dim(3)});
}

// [O, C / groups, kh, kw] -> [groups, O / groups, C / groups * taps]
Tensor weight_rows(const Tensor& w, int64_t groups) {
  return reshape(w, {groups, floor_div(w.dim(0), groups), w.dim(1) * w.dim(2) * w.dim(3)});
}

Windows windows_of_weight(const Attrs& attrs, const Tensor& weight) {
  return windows_of(attrs, weight.dim(2).value(), weight.dim(3).value());
}

Tensors decompose(const OpArgs& a) {
  const Tensor x = widen_half(a.in[0]), weight = widen_half(a.in[1]);
  const int64_t groups = a.attrs.integer("groups");
  const Windows w = windows_of_weight(a.attrs, weight);
  const Dim rows = w.count("conv2d", 0, x.dim(2)), columns = w.count("conv2d", 1, x.dim(3));
  Tensor y = reshape(matmul(weight_rows(weight, groups), columns_of(x, w, groups, rows, columns)),
                     {x.dim(0), weight.dim(0), rows, columns});
  if (a.in.size() > 2) y = y + reshape(widen_half(a.in[2]), {weight.dim(0), 1, 1});
  return {cast(y, a.in[0].dtype())};
}

Tensors decompose_backward_input(const OpArgs& a) {
  const Tensor g = widen_half(a.in[0]), weight = widen_half(a.in[1]);
  const int64_t groups = a.attrs.integer("groups");
  const Windows w = windows_of_weight(a.attrs, weight);
  const Shape& sizes = a.attrs.shape("sizes");
  const Dim channels = weight.dim(1) * Dim(groups);
  const Tensor columns = reshape(matmul(transpose(weight_rows(weight, groups), -1, -2), grouped(g, groups)),
                                 {g.dim(0), channels, w.taps(), g.dim(2), g.dim(3)});
  Tensors pieces;
  for (int64_t t = 0; t < w.taps(); ++t) pieces.push_back(select_index(columns, 2, t));
  return {cast(scatter_taps(pieces, w, sizes[0], sizes[1]), a.in[0].dtype())};
}

// dw = g columns^T over all samples at once: one product for each group.
Tensors decompose_backward_weight(const OpArgs& a) {
  const Tensor x = widen_half(a.in[0]), g = widen_half(a.in[1]);
  const int64_t groups = a.attrs.integer("groups");
  const Ints& kernel = a.attrs.ints("kernel");
  const Windows w = windows_of(a.attrs, kernel[0], kernel[1]);
  const Tensor gs = permute(grouped(g, groups), {1, 2, 0, 3});
  const Tensor xs = permute(columns_of(x, w, groups, g.dim(2), g.dim(3)), {1, 0, 3, 2});
  const Dim places = g.dim(0) * g.dim(2) * g.dim(3);
  const Tensor dw =
      matmul(reshape(gs, {groups, gs.dim(1), places}), reshape(xs, {groups, places, xs.dim(3)}));
  return {cast(reshape(dw, {g.dim(1), floor_div(x.dim(1), groups), kernel[0], kernel[1]}), a.in[0].dtype())};
}

// The attributes that all three have.
Attrs shared_attrs(const Attrs& a) {
  return {{"stride", a.ints("stride")},
          {"padding", a.ints("padding")},
          {"dilation", a.ints("dilation")},
          {"groups", a.integer("groups")}};
}

Tensor convolve(const Tensor& x, const Tensor& weight, const Attrs& attrs) {
  return apply1("conv2d", {x, weight}, shared_attrs(attrs));
}
Tensor backward_input(const Tensor& g, const Tensor& weight, const Tensor& x, const Attrs& attrs) {
  Attrs all = shared_attrs(attrs);
  all.set("sizes", Shape{x.dim(2), x.dim(3)});
  return apply1("conv2d_backward_input", {g, weight}, all);
}
Tensor backward_weight(const Tensor& x, const Tensor& g, const Tensor& weight, const Attrs& attrs) {
  Attrs all = shared_attrs(attrs);
  all.set("kernel", Ints{weight.dim(2).value(), weight.dim(3).value()});
  return apply1("conv2d_backward_weight", {x, g}, all);
}

OpDecl& declare(OpDecl& op) {
  return declare_windows(op).attr("groups", 1, "channels are cut into so many groups that do not mix");
}

}  // namespace

FOVEA_OP(conv2d) {
  declare(op)
      .doc(
          "y[n, o, a, b] = bias[o] + sum over c, i, j of weight[o, c, i, j] x[n, c, a stride + i dilation - "
          "low, b stride + j dilation - low], with zeros around x: x [N, C, H, W], weight [O, C / groups, "
          "kh, kw], bias [O] (optional).")
      .input("x", Types::floating)
      .input("weight", Types::floating)
      .optional_input("bias", Types::floating)
      .infer(infer)
      .decompose(decompose)
      .gradient([](const GradArgs& a) {
        const Tensor& g = a.grad[0];
        Tensors out(a.in.size());
        if (a.needs[1]) out[1] = backward_weight(a.in[0], g, a.in[1], a.attrs);
        if (a.needs[0]) out[0] = backward_input(g, a.in[1], a.in[0], a.attrs);
        if (a.in.size() > 2 && a.needs[2]) out[2] = sum(g, {0, 2, 3});
        return out;
      })
      .sample({In{2, 3, 5, 4}, In{4, 3, 3, 3}, In{4}}, {{"padding", Ints{1}}})
      .sample({In{1, 2, 6, 5}, In{3, 2, 2, 3}}, {{"stride", Ints{2, 1}}, {"padding", Ints{0, 1, 2, 1}}})
      .sample({In{2, 4, 5, 5}, In{6, 2, 3, 1}, In{6}}, {{"groups", 2}, {"dilation", Ints{2, 1}}})
      .sample({In{1, 3, 4, 4}, In{3, 1, 3, 3}}, {{"groups", 3}, {"padding", Ints{1}}, {"stride", Ints{2}}})
      .sample({In{2, 3, 3, 3}, In{2, 3, 1, 1}})
      .sample_error({In{1, 3, 5, 5}, In{8, 4, 3, 3}}, {},
                    "x has 3 channels, weight [8, 4, 3, 3] with 1 group takes 4")
      .sample_error({In{1, 4, 5, 5}, In{3, 2, 3, 3}}, {{"groups", 2}},
                    "2 groups do not divide 3 output channels")
      .sample_error({In{1, 3, 5, 5}, In{4, 1, 3, 3}}, {{"groups", 2}},
                    "2 groups do not divide 3 input channels")
      .sample_error({In{1, 3, 2, 9}, In{4, 3, 5, 3}}, {{"padding", Ints{1}}},
                    "the window spans 5 elements of axis H, which has 2 and 1 + 1 of padding: the result "
                    "would have size 0")
      .sample_error({In{1, 3, 5, 5}, In{4, 3, 3, 3}, In{3}}, {}, "bias has 3 elements for 4 output channels")
      .sample_error({In{1, 3, 5, 5}, In{4, 3, 3, 3}}, {{"stride", Ints{0}}},
                    "stride is 0, it must be at least 1")
      .sample_error({In{1, 3, 5, 5}, In{4, 3, 3, 3}}, {{"padding", Ints{1, 2, 3}}},
                    "padding has 3 numbers, 1, 2 or 4 are needed")
      .sample_error({In{3, 5, 5}, In{4, 3, 3, 3}}, {}, "x has rank 3, 4 is needed");
}

FOVEA_OP(conv2d_backward_input) {
  declare(op)
      .doc(
          "The adjoint of conv2d in its input: g [N, O, H', W'] and weight [O, C / groups, kh, kw] give [N, "
          "C, H, W], where {H, W} are the sizes of the input. As an operation of its own: transposed "
          "convolution.")
      .input("g", Types::floating)
      .input("weight", Types::floating)
      .required_attr("sizes", Shape{}, "{H, W}")
      .infer(infer_backward_input)
      .decompose(decompose_backward_input)
      .gradient([](const GradArgs& a) {
        const Tensor& v = a.grad[0];
        return Tensors{a.needs[0] ? convolve(v, a.in[1], a.attrs) : Tensor(),
                       a.needs[1] ? backward_weight(v, a.in[0], a.in[1], a.attrs) : Tensor()};
      })
      .sample({In{2, 4, 5, 4}, In{4, 3, 3, 3}}, {{"sizes", Shape{5, 4}}, {"padding", Ints{1}}})
      .sample({In{1, 4, 3, 2}, In{4, 1, 2, 3}},
              {{"sizes", Shape{6, 4}}, {"padding", Ints{0, 1, 1, 1}}, {"stride", Ints{2}}, {"groups", 2}})
      .sample_error({In{2, 4, 5, 4}, In{3, 3, 3, 3}}, {{"sizes", Shape{5, 4}}, {"padding", Ints{1}}},
                    "g has 4 channels, weight [3, 3, 3, 3] gives 3")
      .sample_error({In{2, 4, 5, 4}, In{4, 3, 3, 3}}, {{"sizes", Shape{5, 4}}},
                    "g has size 5 along axis 2, a convolution of size 5 gives 3");
}

FOVEA_OP(conv2d_backward_weight) {
  declare(op)
      .doc(
          "The adjoint of conv2d in its weight: x [N, C, H, W] and g [N, O, H', W'] give [O, C / groups, kh, "
          "kw], where {kh, kw} is the size of the kernel.")
      .input("x", Types::floating)
      .input("g", Types::floating)
      .required_attr("kernel", Ints{}, "{kh, kw}")
      .infer(infer_backward_weight)
      .decompose(decompose_backward_weight)
      .gradient([](const GradArgs& a) {
        const Tensor& u = a.grad[0];
        return Tensors{a.needs[0] ? backward_input(a.in[1], u, a.in[0], a.attrs) : Tensor(),
                       a.needs[1] ? convolve(a.in[0], u, a.attrs) : Tensor()};
      })
      .sample({In{2, 3, 5, 4}, In{2, 4, 5, 4}}, {{"kernel", Ints{3, 3}}, {"padding", Ints{1}}})
      .sample({In{1, 2, 6, 4}, In{1, 4, 3, 2}},
              {{"kernel", Ints{2, 3}}, {"padding", Ints{0, 1, 1, 1}}, {"stride", Ints{2}}, {"groups", 2}})
      .sample_error({In{2, 3, 5, 4}, In{3, 4, 5, 4}}, {{"kernel", Ints{3}}, {"padding", Ints{1}}},
                    "x has 2 samples, g has 3")
      .sample_error({In{2, 3, 5, 4}, In{2, 4, 5, 4}}, {{"kernel", Ints{3}}},
                    "g has size 5 along axis 2, a convolution of size 5 gives 3");
}

Tensor conv2d(const Arg& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& o) {
  return apply1(
      "conv2d", {to_tensor(x, DType::f32), weight, bias},
      {{"stride", o.stride}, {"padding", o.padding}, {"dilation", o.dilation}, {"groups", o.groups}},
      x.source);
}

Tensor conv1d(const Arg& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& o) {
  const Tensor t = to_tensor(x, DType::f32);
  if (t.rank() != 3 || weight.rank() != 3)
    invalid("conv1d: x and weight have ranks " + str(t.rank()) + " and " + str(weight.rank()) +
            ", 3 is needed");
  if (o.stride.size() != 1 || o.dilation.size() != 1 || o.padding.empty() || o.padding.size() > 2)
    invalid("conv1d: stride, dilation and padding have " + std::to_string(o.stride.size()) + ", " +
            std::to_string(o.dilation.size()) + " and " + std::to_string(o.padding.size()) +
            " numbers; 1, 1 and 1 or 2 are needed");
  const SourceScope scope(x.source);
  Conv2dOptions flat;
  flat.stride = {1, o.stride[0]};
  flat.padding = {0, 0, o.padding.front(), o.padding.back()};
  flat.dilation = {1, o.dilation[0]};
  flat.groups = o.groups;
  return squeeze(conv2d(unsqueeze(t, 2), unsqueeze(weight, 2), bias, flat), {2});
}

}  // namespace fovea
