#include "ops/shared/windows.h"

#include "ops/core/add/add.h"
#include "ops/core/pad/pad.h"
#include "ops/core/slice/slice.h"

namespace fovea {
namespace {

std::string str(int64_t v) { return std::to_string(v); }
const char* axis_name(int axis) { return axis == 0 ? "H" : "W"; }

// floor(a / b), where it can be a polynomial: 2 L + 1 over 2 is L.
Dim divide(const Dim& a, int64_t b) {
  if (!a.is_const())
    for (int64_t rest = 0; rest < std::min<int64_t>(b, 16); ++rest)
      if (auto q = exact_div(a - Dim(rest), b)) return *q;
  return floor_div(a, b);
}

}  // namespace

Dim Windows::count(std::string_view op, int axis, const Dim& size) const {
  const Dim room = size + Dim(low[axis]) + Dim(high[axis]) - Dim(reach(axis));
  if (room.is_const() && room.value() < 0)
    invalid(std::string(op) + ": the window spans " + str(reach(axis)) + " elements of axis " +
            axis_name(axis) + ", which has " + size.str() + " and " + str(low[axis]) + " + " +
            str(high[axis]) + " of padding: the result would have size " +
            (floor_div(room, stride[axis]) + Dim(1)).str());
  if (!ceil) return divide(room, stride[axis]) + Dim(1);
  const Dim up = divide(room + Dim(stride[axis] - 1), stride[axis]) + Dim(1);
  if (high[axis] + stride[axis] <= reach(axis)) return up;  // no window can begin behind the input
  if (!size.is_const())
    invalid(std::string(op) + ": rounding up over axis " + axis_name(axis) + " of size " + size.str() +
            " needs a known size where padding " + str(high[axis]) + " + stride " + str(stride[axis]) +
            " exceed the window's span " + str(reach(axis)));
  const int64_t n = up.value();
  return (n - 1) * stride[axis] >= size.value() + low[axis] ? n - 1 : n;
}

Dim Windows::behind(int axis, const Dim& size, const Dim& count) const {
  return (count - Dim(1)) * Dim(stride[axis]) + Dim(reach(axis)) - Dim(low[axis]) - size;
}

OpDecl& declare_windows(OpDecl& op) {
  return op.attr("stride", Ints{1, 1}, "steps between windows: {h, w}, or one number for both")
      .attr("padding", Ints{0, 0, 0, 0},
            "{h low, h high, w low, w high}, {h, w} for both ends, or one number for all")
      .attr("dilation", Ints{1, 1}, "steps between elements of a window: {h, w}, or one number for both");
}

Ints both_axes(InferContext& c, std::string_view name) {
  Ints list = c.attrs.ints(name);
  if (list.size() == 1) list.push_back(list[0]);
  if (list.size() != 2)
    c.fail(std::string(name) + " has " + str(static_cast<int64_t>(list.size())) +
           " numbers, 1 or 2 are needed");
  for (int64_t v : list)
    if (v < 1 || v > INT32_MAX)
      c.fail(std::string(name) + " is " + str(v) + ", it must be at least 1 and below 2^31");
  c.attrs.set(name, list);
  return list;
}

void infer_windows(InferContext& c) {
  both_axes(c, "stride");
  both_axes(c, "dilation");
  Ints p = c.attrs.ints("padding");
  if (p.size() == 1) p = {p[0], p[0], p[0], p[0]};
  if (p.size() == 2) p = {p[0], p[0], p[1], p[1]};
  if (p.size() != 4)
    c.fail("padding has " + str(static_cast<int64_t>(p.size())) + " numbers, 1, 2 or 4 are needed");
  for (int64_t v : p)
    if (v < 0 || v > INT32_MAX) c.fail("padding is " + str(v) + ", it must be at least 0 and below 2^31");
  c.attrs.set("padding", p);
}

Windows windows_of(const Attrs& attrs, int64_t kernel_h, int64_t kernel_w) {
  const Ints &stride = attrs.ints("stride"), &padding = attrs.ints("padding"),
             &dilation = attrs.ints("dilation");
  Windows w;
  w.kernel[0] = kernel_h;
  w.kernel[1] = kernel_w;
  for (int d = 0; d < 2; ++d) {
    w.stride[d] = stride[d];
    w.dilation[d] = dilation[d];
    w.low[d] = padding[2 * d];
    w.high[d] = padding[2 * d + 1];
  }
  return w;
}

OpDecl& declare_pooling(OpDecl& op) {
  return declare_windows(
      op.required_attr("kernel", Ints{}, "the window's size: {h, w}, or one number for both"));
}

Windows pooling_windows(const Attrs& attrs) {
  const Ints& kernel = attrs.ints("kernel");
  Windows w = windows_of(attrs, kernel[0], kernel[1]);
  w.ceil = attrs.has("ceil_mode") && attrs.flag("ceil_mode");
  return w;
}

TensorType infer_pooled(InferContext& c, size_t i) {
  if (c.rank(i) != 4) c.fail(c.op.inputs()[i].name + " has rank " + str(c.rank(i)) + ", 4 is needed");
  both_axes(c, "kernel");
  infer_windows(c);
  const Windows w = pooling_windows(c.attrs);
  const Shape& x = c.shape(i);
  return {c.dtype(i), {x[0], x[1], w.count(c.op.name(), 0, x[2]), w.count(c.op.name(), 1, x[3])}};
}

std::vector<Tensor> window_taps(const Tensor& x, const Windows& w, const Dim& rows, const Dim& columns,
                                double value) {
  const Dim out[2] = {rows, columns};
  Shape low{0, 0}, high{0, 0};
  for (int d = 0; d < 2; ++d) {
    low.push_back(w.low[d]);
    high.push_back(w.padded() || w.ceil ? w.behind(d, x.dim(2 + d), out[d]) : Dim(0));
  }
  const Tensor padded = w.padded() || w.ceil ? pad(x, low, high, {}, value) : x;
  std::vector<Tensor> taps;
  for (int64_t i = 0; i < w.kernel[0]; ++i)
    for (int64_t j = 0; j < w.kernel[1]; ++j) {
      const int64_t first[2] = {i * w.dilation[0], j * w.dilation[1]};
      Shape starts{0, 0}, stops{padded.dim(0), padded.dim(1)};
      for (int d = 0; d < 2; ++d) {
        starts.push_back(first[d]);
        stops.push_back(Dim(first[d]) + (out[d] - Dim(1)) * Dim(w.stride[d]) + Dim(1));
      }
      taps.push_back(strided_slice(padded, starts, stops, {1, 1, w.stride[0], w.stride[1]}));
    }
  return taps;
}

Tensor scatter_taps(const std::vector<Tensor>& pieces, const Windows& w, const Dim& height,
                    const Dim& width) {
  const Dim size[2] = {height, width};
  Tensor sum;
  for (int64_t i = 0; i < w.kernel[0]; ++i)
    for (int64_t j = 0; j < w.kernel[1]; ++j) {
      const Tensor& piece = pieces[static_cast<size_t>(i * w.kernel[1] + j)];
      const int64_t first[2] = {i * w.dilation[0] - w.low[0], j * w.dilation[1] - w.low[1]};
      Shape low{0, 0}, high{0, 0};
      for (int d = 0; d < 2; ++d) {
        const Dim span = (piece.dim(2 + d) - Dim(1)) * Dim(w.stride[d]) + Dim(1);
        low.push_back(first[d]);
        high.push_back(size[d] - Dim(first[d]) - span);
      }
      const Tensor placed = pad(piece, low, high, {0, 0, w.stride[0] - 1, w.stride[1] - 1});
      sum = sum.defined() ? sum + placed : placed;
    }
  return sum;
}

}  // namespace fovea
