#include "ops/composite/avg_pool2d/avg_pool2d.h"

#include "ops/composite/mean/mean.h"
#include "ops/core/cast/cast.h"
#include "ops/core/full/full.h"
#include "ops/core/maximum/maximum.h"
#include "ops/core/reshape/reshape.h"
#include "ops/shared/gradients.h"
#include "ops/shared/reductions.h"
#include "ops/shared/windows.h"

namespace fovea {
namespace {

void infer_backward(InferContext& c) {
  if (c.rank(0) != 4) c.fail("g has rank " + std::to_string(c.rank(0)) + ", 4 is needed");
  both_axes(c, "kernel");
  infer_windows(c);
  const Windows w = pooling_windows(c.attrs);
  const Shape &g = c.shape(0), sizes = c.attrs.shape("sizes");
  if (sizes.size() != 2) c.fail("sizes has " + std::to_string(sizes.size()) + " numbers, 2 are needed");
  for (int d = 0; d < 2; ++d)
    c.same(g[2 + d], w.count(c.op.name(), d, sizes[d]),
           "g has size {a} along axis " + std::to_string(2 + d) + ", pooling of size " + sizes[d].str() +
               " gives {b}");
  c.output(c.dtype(0), {g[0], g[1], sizes[0], sizes[1]});
}

Tensor sum_of(const std::vector<Tensor>& taps) {
  Tensor y = taps[0];
  for (size_t t = 1; t < taps.size(); ++t) y = y + taps[t];
  return y;
}

// t divided by the number of elements that count in each window, for an input of height x width.
Tensor per_window(const Tensor& t, const Windows& w, const Attrs& attrs, const Dim& height,
                  const Dim& width) {
  if (attrs.flag("count_include_pad") || !w.padded()) return t * (1.0 / static_cast<double>(w.taps()));
  const Tensor ones = full({1, 1, height, width}, 1, t.dtype());
  return t / maximum(sum_of(window_taps(ones, w, t.dim(2), t.dim(3), 0)), 1.0);
}

Tensors decompose(const OpArgs& a) {
  const Tensor x = widen_half(a.in[0]);
  const Windows w = pooling_windows(a.attrs);
  const Dim rows = w.count("avg_pool2d", 0, x.dim(2)), columns = w.count("avg_pool2d", 1, x.dim(3));
  const Tensor y = per_window(sum_of(window_taps(x, w, rows, columns, 0)), w, a.attrs, x.dim(2), x.dim(3));
  return {cast(y, a.in[0].dtype())};
}

Tensors decompose_backward(const OpArgs& a) {
  const Windows w = pooling_windows(a.attrs);
  const Shape& sizes = a.attrs.shape("sizes");
  const Tensor share = per_window(widen_half(a.in[0]), w, a.attrs, sizes[0], sizes[1]);
  return {cast(scatter_taps(Tensors(static_cast<size_t>(w.taps()), share), w, sizes[0], sizes[1]),
               a.in[0].dtype())};
}

OpDecl& declare(OpDecl& op) {
  return declare_pooling(op).attr("count_include_pad", true,
                                  "padding counts as zeros; otherwise the mean is over elements of x alone");
}

}  // namespace

FOVEA_OP(avg_pool2d) {
  declare(op)
      .doc("The mean of each window of x [N, C, H, W].")
      .input("x", Types::floating)
      .infer([](InferContext& c) { c.output(infer_pooled(c, 0)); })
      .decompose(decompose)
      .gradient([](const GradArgs& a) {
        Attrs attrs = a.attrs;
        attrs.set("sizes", Shape{a.in[0].dim(2), a.in[0].dim(3)});
        return Tensors{apply1("avg_pool2d_backward", {a.grad[0]}, attrs)};
      })
      .sample({In{2, 2, 4, 6}}, {{"kernel", Ints{2}}, {"stride", Ints{2}}})
      .sample({In{1, 2, 5, 4}},
              {{"kernel", Ints{3, 2}}, {"stride", Ints{2, 1}}, {"padding", Ints{1, 1, 0, 1}}})
      .sample({In{1, 2, 5, 4}}, {{"kernel", Ints{3, 2}},
                                 {"stride", Ints{2, 1}},
                                 {"padding", Ints{1, 1, 0, 1}},
                                 {"count_include_pad", false}})
      .sample_error({In{1, 2, 3, 9}}, {{"kernel", Ints{5}}},
                    "the window spans 5 elements of axis H, which has 3 and 0 + 0 of padding")
      .sample_error({In{2, 3, 9}}, {{"kernel", Ints{2}}}, "x has rank 3, 4 is needed");
}

FOVEA_OP(avg_pool2d_backward) {
  declare(op)
      .doc(
          "The adjoint of avg_pool2d: g [N, C, H', W'] gives [N, C, H, W], where {H, W} are the sizes of the "
          "input.")
      .input("g", Types::floating)
      .required_attr("sizes", Shape{}, "{H, W}")
      .infer(infer_backward)
      .decompose(decompose_backward)
      .gradient([](const GradArgs& a) {
        Attrs attrs = a.attrs;
        attrs.erase("sizes");
        return Tensors{apply1("avg_pool2d", {a.grad[0]}, attrs)};
      })
      .sample({In{2, 2, 2, 3}}, {{"sizes", Shape{4, 6}}, {"kernel", Ints{2}}, {"stride", Ints{2}}})
      .sample({In{1, 2, 3, 4}}, {{"sizes", Shape{5, 4}},
                                 {"kernel", Ints{3, 2}},
                                 {"stride", Ints{2, 1}},
                                 {"padding", Ints{1, 1, 0, 1}},
                                 {"count_include_pad", false}})
      .sample_error({In{2, 2, 2, 3}}, {{"sizes", Shape{6, 6}}, {"kernel", Ints{2}}, {"stride", Ints{2}}},
                    "g has size 2 along axis 2, pooling of size 6 gives 3");
}

Tensor avg_pool2d(const Arg& x, std::vector<int64_t> kernel, const AvgPool2dOptions& o) {
  return apply1("avg_pool2d", {to_tensor(x, DType::f32)},
                {{"kernel", kernel},
                 {"stride", o.stride.empty() ? kernel : o.stride},
                 {"padding", o.padding},
                 {"count_include_pad", o.count_include_pad}},
                x.source);
}

Tensor adaptive_avg_pool2d(const Arg& x, int64_t rows, int64_t columns) {
  const Tensor t = to_tensor(x, DType::f32);
  if (t.rank() != 4) invalid("adaptive_avg_pool2d: x has rank " + std::to_string(t.rank()) + ", 4 is needed");
  const auto h = rows > 0 ? exact_div(t.dim(2), rows) : std::nullopt,
             w = columns > 0 ? exact_div(t.dim(3), columns) : std::nullopt;
  if (!h || !w)
    invalid("adaptive_avg_pool2d: a plane of " + t.dim(2).str() + " x " + t.dim(3).str() +
            " does not divide into " + std::to_string(rows) + " x " + std::to_string(columns) +
            " equal parts");
  const SourceScope scope(x.source);
  return mean(reshape(t, {t.dim(0), t.dim(1), rows, *h, columns, *w}), {3, 5});
}

Tensor global_avg_pool(const Arg& x) {
  const Tensor t = to_tensor(x, DType::f32);
  if (t.rank() < 3)
    invalid("global_avg_pool: x has rank " + std::to_string(t.rank()) + ", at least 3 is needed");
  Ints axes;
  for (int64_t d = 2; d < t.rank(); ++d) axes.push_back(d);
  return mean(Arg(t, x.source), axes);
}

}  // namespace fovea
