#include "ops/core/slice/slice.h"

#include "framework/base/checked.h"
#include "ops/core/pad/pad.h"
#include "ops/core/reshape/reshape.h"
#include "ops/shared/box_copy.h"
#include "ops/shared/indexing.h"

namespace fovea {
namespace {

// |step|; no axis is long enough for INT64_MIN and INT64_MAX to differ.
int64_t magnitude(int64_t step) { return step > 0 ? step : step == INT64_MIN ? INT64_MAX : -step; }

// How many of start, start + step, ... lie before stop.
Dim count(const Dim& start, const Dim& stop, int64_t step) {
  const Dim span = step > 0 ? stop - start : start - stop;
  const int64_t by = magnitude(step);
  if (span.is_const()) return span.value() <= 0 ? 0 : (span.value() - 1) / by + 1;
  return by == 1 ? span : floor_div(span + Dim(by - 1), by);
}

void infer(InferContext& c) {
  const Shape &starts = c.attrs.shape("starts"), &stops = c.attrs.shape("stops");
  const Ints& steps = c.attrs.ints("steps");
  const size_t rank = c.shape(0).size();
  if (starts.size() != rank || stops.size() != rank || steps.size() != rank)
    c.fail(std::to_string(starts.size()) + " starts, " + std::to_string(stops.size()) + " stops and " +
           std::to_string(steps.size()) + " steps for rank " + std::to_string(rank));
  Shape shape;
  for (size_t d = 0; d < rank; ++d) {
    if (steps[d] == 0) c.fail("the step of axis " + std::to_string(d) + " is 0");
    const Dim& n = c.shape(0)[d];
    // Offsets from either end that are numbers are checked here, all others when the sizes are known.
    const auto outside = [&](const Dim& at, int64_t low, int64_t high) {
      const Dim rest = n - at;
      return (at.is_const() && at.value() < low) || (rest.is_const() && rest.value() < high);
    };
    const bool down = steps[d] < 0;
    if (outside(starts[d], 0, down && n != Dim(0) ? 1 : 0) || outside(stops[d], down ? -1 : 0, 0))
      c.fail("[" + starts[d].str() + ":" + stops[d].str() + ":" + std::to_string(steps[d]) +
             "] is outside axis " + std::to_string(d) + " of size " + n.str());
    shape.push_back(count(starts[d], stops[d], steps[d]));
  }
  c.output(c.dtype(0), shape);
}

bool view(const Attrs& attrs, const Dims& shape, const Dims& strides, const Dims& to, Dims& out,
          int64_t& offset) {
  const Dims starts = sizes_of(attrs, "starts");
  const Ints& steps = attrs.ints("steps");
  out.assign(shape.size(), 0);
  for (size_t d = 0; d < shape.size(); ++d) {
    out[d] = to[d] > 1 ? checked_mul(strides[d], steps[d], "a stride") : strides[d];
    if (to[d] == 0) continue;
    const int64_t last = checked_add(starts[d], checked_mul(to[d] - 1, steps[d], "an index"), "an index");
    if (std::min(starts[d], last) < 0 || std::max(starts[d], last) >= shape[d])
      invalid("slice: elements " + std::to_string(starts[d]) + " to " + std::to_string(last) +
              " are outside axis " + std::to_string(d) + " of size " + std::to_string(shape[d]));
    offset += starts[d] * strides[d];
  }
  return true;
}

// Puts g back where the slice was taken: zeros before, between and behind.
Tensor unslice(const Tensor& g, const Tensor& x, const Attrs& attrs) {
  const Shape& starts = attrs.shape("starts");
  Shape low, high;
  Ints interior, down;
  for (int64_t d = 0; d < x.rank(); ++d) {
    const int64_t step = attrs.ints("steps")[d], by = magnitude(step);
    const Dim m = g.dim(d), span = (m - Dim(1)) * Dim(by);
    const Dim first = step > 0 || m == Dim(0) ? starts[d] : starts[d] - span;
    if (step < 0) down.push_back(d);
    low.push_back(first);
    high.push_back(m == Dim(0) ? x.dim(d) - first : x.dim(d) - first - span - Dim(1));
    interior.push_back(by - 1);
  }
  return pad(down.empty() ? g : flip(g, down), low, high, interior);
}

}  // namespace

FOVEA_OP(slice) {
  op.doc("Element i along an axis is the operand's element start + i * step, up to but without stop.")
      .input("x")
      .required_attr("starts", Shape{}, "one an axis, counted from the beginning")
      .required_attr("stops", Shape{}, "one an axis; -1 with a negative step: down to the beginning")
      .required_attr("steps", Ints{})
      .infer(infer)
      .view(view)
      .gradient([](const GradArgs& a) { return Tensors{unslice(a.grad[0], a.in[0], a.attrs)}; })
      .sample({In{5}}, {{"starts", Shape{1}}, {"stops", Shape{4}}, {"steps", Ints{1}}})
      .sample({In{4, 7}}, {{"starts", Shape{3, 1}}, {"stops", Shape{-1, 6}}, {"steps", Ints{-2, 2}}})
      .sample({In{2, 3}}, {{"starts", Shape{0, 1}}, {"stops", Shape{2, 1}}, {"steps", Ints{1, 1}}})
      .sample_error({In{5}}, {{"starts", Shape{1}}, {"stops", Shape{6}}, {"steps", Ints{1}}},
                    "[1:6:1] is outside axis 0 of size 5")
      .sample_error({In{5}}, {{"starts", Shape{1}}, {"stops", Shape{3}}, {"steps", Ints{0}}},
                    "the step of axis 0 is 0")
      .sample_error({In{5}}, {{"starts", Shape{}}, {"stops", Shape{3}}, {"steps", Ints{1}}},
                    "0 starts, 1 stops and 1 steps for rank 1");
}

FOVEA_KERNEL(reference, slice, loops) { reference_view_copy(kernel, view); }
FOVEA_KERNEL(cpu, slice, rows) { cpu_view_copy(kernel, view); }

Tensor strided_slice(const Arg& x, Shape starts, Shape stops, std::vector<int64_t> steps) {
  return apply1("slice", {to_tensor(x, DType::f32)},
                {{"starts", std::move(starts)}, {"stops", std::move(stops)}, {"steps", std::move(steps)}},
                x.source);
}

Tensor slice(const Arg& x, int64_t axis, Dim start, Dim stop, int64_t step) {
  const Tensor t = to_tensor(x, DType::f32);
  axis = normal_axis("slice", axis, t.rank());
  if (step == 0) invalid("slice: the step of axis " + std::to_string(axis) + " is 0");
  const Dim n = t.dim(axis);
  const auto place = [&](Dim at) {
    if (step < 0 && n + at == Dim(-1)) return Dim(-1);  // down to the very beginning, also of an unknown size
    if (at.is_const() && at.value() < 0) at = n + at;
    if (!at.is_const() || !n.is_const()) return at;
    const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n.value() : n.value() - 1;
    return Dim(std::min(std::max(at.value(), low), high));
  };
  Shape starts(t.rank(), Dim(0)), stops = t.shape();
  Ints steps(t.rank(), 1);
  starts[axis] = place(start);
  stops[axis] = place(stop);
  steps[axis] = step;
  if (count(starts[axis], stops[axis], step) == Dim(0)) starts[axis] = stops[axis] = 0, steps[axis] = 1;
  return strided_slice(Arg(t, x.source), starts, stops, steps);
}

Tensor select_index(const Arg& x, int64_t axis, Dim index) {
  const Tensor t = to_tensor(x, DType::f32);
  axis = normal_axis("select_index", axis, t.rank());
  const Dim n = t.dim(axis), at = index.is_const() && index.value() < 0 ? n + index : index;
  if (at.is_const() && (at.value() < 0 || (n.is_const() && at.value() >= n.value())))
    invalid("select_index: index " + index.str() + " is out of range for axis " + std::to_string(axis) +
            " of size " + n.str());
  Shape starts(t.rank(), Dim(0)), stops = t.shape(), shape = t.shape();
  starts[axis] = at;
  stops[axis] = at + Dim(1);
  shape.erase(shape.begin() + axis);
  return reshape(Arg(strided_slice(Arg(t, x.source), starts, stops, Ints(t.rank(), 1)), x.source), shape);
}

std::vector<Tensor> split(const Arg& x, Shape sizes, int64_t axis) {
  const Tensor t = to_tensor(x, DType::f32);
  axis = normal_axis("split", axis, t.rank());
  Dim total = 0;
  for (const Dim& d : sizes) total = total + d;
  if (total != t.dim(axis))
    invalid("split: sizes " + to_string(sizes) + " add up to " + total.str() + ", axis " +
            std::to_string(axis) + " has " + t.dim(axis).str());
  Shape starts(t.rank(), Dim(0)), stops = t.shape();
  stops[axis] = 0;
  Tensors out;
  for (const Dim& d : sizes) {
    starts[axis] = stops[axis];
    stops[axis] = starts[axis] + d;
    out.push_back(strided_slice(Arg(t, x.source), starts, stops, Ints(t.rank(), 1)));
  }
  return out;
}

std::vector<Tensor> chunk(const Arg& x, int64_t count, int64_t axis) {
  const Tensor t = to_tensor(x, DType::f32);
  axis = normal_axis("chunk", axis, t.rank());
  const auto each = count > 0 ? exact_div(t.dim(axis), count) : std::nullopt;
  if (!each)
    invalid("chunk: axis " + std::to_string(axis) + " of size " + t.dim(axis).str() +
            " does not divide into " + std::to_string(count) + " equal pieces");
  return split(Arg(t, x.source), Shape(count, *each), axis);
}

std::vector<Tensor> unbind(const Arg& x, int64_t axis) {
  const Tensor t = to_tensor(x, DType::f32);
  const int64_t n = t.dim(axis).value();
  Tensors out;
  for (int64_t i = 0; i < n; ++i) out.push_back(select_index(Arg(t, x.source), axis, i));
  return out;
}

Tensor flip(const Arg& x, std::vector<int64_t> axes) {
  const Tensor t = to_tensor(x, DType::f32);
  Shape starts(t.rank(), Dim(0)), stops = t.shape();
  Ints steps(t.rank(), 1);
  for (int64_t a : axes) {
    const int64_t axis = normal_axis("flip", a, t.rank());
    if (t.dim(axis) == Dim(0)) continue;
    starts[axis] = t.dim(axis) - Dim(1);
    stops[axis] = -1;
    steps[axis] = -1;
  }
  return strided_slice(Arg(t, x.source), starts, stops, steps);
}

}  // namespace fovea
