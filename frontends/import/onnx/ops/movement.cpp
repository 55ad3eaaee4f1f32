// Ops that move or copy elements by position.
#include <algorithm>
#include <cmath>

#include "frontends/import/onnx/ops/common.h"

namespace fovea::onnx {
namespace {

// NumPy broadcasting of two shapes; sizes that cannot be compared are the second's.
Shape broadcast_shape(const Context& c, const Shape& a, const Shape& b) {
  const size_t rank = std::max(a.size(), b.size());
  Shape out(rank, Dim(1));
  for (size_t i = 1; i <= rank; ++i) {
    const Dim x = i <= a.size() ? a[a.size() - i] : Dim(1), y = i <= b.size() ? b[b.size() - i] : Dim(1);
    if (x.is_const() && y.is_const() && x != y && x != Dim(1) && y != Dim(1))
      c.invalid(to_string(a) + " does not broadcast with " + to_string(b));
    out[rank - i] = y == Dim(1) ? x : y;
  }
  return out;
}

Tensor expanded(Context& c) {
  const Tensor x = c.in(0);
  const Shape shape = broadcast_shape(c, x.shape(), c.dims(1));
  return shape == x.shape() ? x : broadcast_to(x, shape);
}

Shape reshape_target(Context& c, const Tensor& x) {
  Shape shape;
  if (c.opset() < 5) {
    for (int64_t v : c.ints("shape")) shape.push_back(v);
  } else {
    shape = c.dims(1);
  }
  if (c.integer("allowzero", 0) != 0) return shape;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] != Dim(0)) continue;
    if (d >= x.shape().size())
      c.invalid("size " + std::to_string(d) + " of the new shape is 0, the operand has rank " +
                std::to_string(x.rank()));
    shape[d] = x.shape()[d];
  }
  return shape;
}

Tensor flattened(Context& c) {
  const Tensor x = c.in(0);
  const int64_t given = c.integer("axis", 1), axis = given < 0 ? given + x.rank() : given;
  if (axis < 0 || axis > x.rank()) c.invalid("axis " + std::to_string(given) + " is out of range");
  const Shape shape = x.shape();
  return reshape(x, {product(Shape(shape.begin(), shape.begin() + axis)),
                     product(Shape(shape.begin() + axis, shape.end()))});
}

Tensor squeezed(Context& c) {
  const Tensor x = c.in(0);
  const Ints axes = axes_of(c, c.ints_at(1, "axes"), x.rank());
  return axes.empty() ? squeeze(x) : squeeze(x, axes);
}

Tensor unsqueezed(Context& c) {
  const Tensor x = c.in(0);
  const Ints axes = c.ints_at(1, "axes");
  const int64_t rank = x.rank() + static_cast<int64_t>(axes.size());
  std::vector<bool> fresh(static_cast<size_t>(rank), false);
  for (int64_t a : axes_of(c, axes, rank)) {
    if (fresh[static_cast<size_t>(a)]) c.invalid("axis " + std::to_string(a) + " is named twice");
    fresh[static_cast<size_t>(a)] = true;
  }
  Shape shape;
  int64_t from = 0;
  for (bool f : fresh) shape.push_back(f ? Dim(1) : x.dim(from++));
  return reshape(x, shape);
}

// The sizes of the pieces: given, or as equal as they can be (the last one may be smaller).
Shape split_sizes(Context& c, const Dim& size) {
  if (c.has(1)) return c.dims(1);
  if (c.has_attr("split")) {
    Shape sizes;
    for (int64_t v : c.ints("split")) sizes.push_back(v);
    return sizes;
  }
  const int64_t count = c.integer("num_outputs", static_cast<int64_t>(c.outputs()));
  if (count < 1) c.invalid("it has " + std::to_string(count) + " outputs");
  if (const auto each = exact_div(size, count)) return Shape(static_cast<size_t>(count), *each);
  if (!size.is_const()) c.unsupported("an axis of size " + size.str() + " does not divide evenly");
  const int64_t each = (size.value() + count - 1) / count, last = size.value() - each * (count - 1);
  if (c.opset() < 18 || last < 0)
    c.invalid("an axis of size " + size.str() + " does not divide into " + std::to_string(count));
  Shape sizes(static_cast<size_t>(count), each);
  sizes.back() = last;
  return sizes;
}

// A start or stop of a slice: positions beyond either end become the end, also of an unknown size.
Dim slice_end(const Dim& at, const Dim& size, int64_t step, bool stop) {
  constexpr int64_t kFar = INT32_MAX;
  if (!at.is_const()) return at;
  if (at.value() >= kFar) return step > 0 ? size : size - Dim(1);
  if (at.value() <= -kFar) return step > 0 ? Dim(0) : stop ? Dim(-1) - size : Dim(0);
  return at;
}

Tensor sliced(Context& c) {
  Tensor x = c.in(0);
  Shape starts, stops;
  Ints axes, steps;
  if (c.opset() < 10) {
    for (int64_t v : c.ints("starts")) starts.push_back(v);
    for (int64_t v : c.ints("ends")) stops.push_back(v);
    axes = c.ints("axes");
  } else {
    starts = c.dims(1);
    stops = c.dims(2);
    if (c.has(3)) axes = c.const_ints(3);
    if (c.has(4)) steps = c.const_ints(4);
  }
  const int64_t count = static_cast<int64_t>(starts.size());
  axes = axes.empty() ? axis_range(0, count) : axes;
  if (steps.empty()) steps.assign(starts.size(), 1);
  check_count(c, "ends", stops.size(), count);
  check_count(c, "axes", axes.size(), count);
  check_count(c, "steps", steps.size(), count);
  axes = axes_of(c, axes, x.rank());
  for (size_t i = 0; i < axes.size(); ++i) {
    const Dim size = x.dim(axes[i]);
    if (steps[i] == 0) c.invalid("the step of axis " + std::to_string(axes[i]) + " is 0");
    const Dim start = slice_end(starts[i], size, steps[i], false),
              stop = slice_end(stops[i], size, steps[i], true);
    if (steps[i] == 1 && start == Dim(0) && stop == size) continue;
    x = slice(x, axes[i], start, stop, steps[i]);
  }
  return x;
}

Tensor tiled(Context& c) {
  Tensor x = c.in(0);
  const Shape counts = c.dims(1);
  check_count(c, "repeats", counts.size(), x.rank());
  for (size_t d = 0; d < counts.size(); ++d) {
    if (counts[d] == Dim(1)) continue;
    Shape shape = x.shape();
    const Shape result = with_size(shape, static_cast<int64_t>(d), shape[d] * counts[d]);
    shape.insert(shape.begin() + static_cast<int64_t>(d), Dim(1));
    const Tensor apart = reshape(x, shape);
    shape[d] = counts[d];
    x = reshape(broadcast_to(apart, shape), result);
  }
  return x;
}

// Pads one axis by copies of elements of x itself.
Tensor pad_from_itself(Context& c, const Tensor& x, int64_t axis, const Dim& low, const Dim& high,
                       const std::string& mode) {
  const Dim n = x.dim(axis);
  const auto piece = [&](const Dim& count, bool front) -> Tensor {
    if (mode == "edge") {
      const Dim at = front ? Dim(0) : n - Dim(1);
      return broadcast_to(slice(x, axis, at, at + Dim(1)), with_size(x.shape(), axis, count));
    }
    if (mode == "wrap") return front ? slice(x, axis, n - count, n) : slice(x, axis, 0, count);
    return flip(front ? slice(x, axis, 1, count + Dim(1)) : slice(x, axis, n - Dim(1) - count, n - Dim(1)),
                {axis});
  };
  const int64_t room = mode == "reflect" ? 1 : 0;
  for (const Dim& pad : {low, high})
    if (mode != "edge" && pad.is_const() && n.is_const() && pad.value() + room > n.value())
      c.unsupported(mode + " padding of " + pad.str() + " is more than an axis of size " + n.str() +
                    " holds");
  Tensors parts;
  if (low != Dim(0)) parts.push_back(piece(low, true));
  parts.push_back(x);
  if (high != Dim(0)) parts.push_back(piece(high, false));
  return concat(parts, axis);
}

// Constant padding by a value that is known only when the model runs.
Tensor pad_by_tensor(const Tensor& x, const Shape& low, const Shape& high, const Tensor& value) {
  const Tensor inside = pad(full(x.shape(), 1, DType::boolean), low, high);
  return where(inside, pad(x, low, high), reshape(value, {}));
}

Tensor padded(Context& c) {
  Tensor x = c.in(0);
  const std::string mode = c.text("mode", "constant");
  Shape pads;
  if (c.opset() < 11) {
    for (int64_t v : c.ints(c.opset() < 2 ? "paddings" : "pads")) pads.push_back(v);
  } else {
    pads = c.dims(1);
  }
  const Ints axes = c.has(3) ? axes_of(c, c.const_ints(3), x.rank()) : axis_range(0, x.rank());
  check_count(c, "pads", pads.size(), 2 * static_cast<int64_t>(axes.size()));
  Shape low(static_cast<size_t>(x.rank()), Dim(0)), high = low;
  for (size_t i = 0; i < axes.size(); ++i) {
    low[static_cast<size_t>(axes[i])] = pads[i];
    high[static_cast<size_t>(axes[i])] = pads[axes.size() + i];
  }
  if (mode == "constant") {
    if (c.opset() < 11) return pad(x, low, high, {}, c.number("value", 0.0));
    if (!c.has(2)) return pad(x, low, high);
    return c.constant(2) ? pad(x, low, high, {}, c.const_number(2)) : pad_by_tensor(x, low, high, c.in(2));
  }
  if (mode != "edge" && mode != "reflect" && mode != "wrap") c.invalid("mode is \"" + mode + "\"");
  for (int64_t d = 0; d < x.rank(); ++d) {
    Dim &before = low[static_cast<size_t>(d)], &behind = high[static_cast<size_t>(d)];
    const auto crop = [](const Dim& p) { return p.is_const() && p.value() < 0 ? p : Dim(0); };
    if (crop(before) != Dim(0) || crop(behind) != Dim(0)) {
      x = slice(x, d, Dim(0) - crop(before), x.dim(d) + crop(behind));
      before = before - crop(before);
      behind = behind - crop(behind);
    }
    if (before != Dim(0) || behind != Dim(0)) x = pad_from_itself(c, x, d, before, behind, mode);
  }
  return x;
}

// [N, C, H, W] with its sizes and the block size of DepthToSpace and SpaceToDepth.
struct Blocks {
  Tensor x;
  int64_t block;
  Dim n, channels, height, width;
};

Blocks blocks_of(Context& c) {
  const Tensor x = c.in(0);
  if (x.rank() != 4) c.invalid("the operand has rank " + std::to_string(x.rank()) + ", 4 is needed");
  const int64_t block = c.integer("blocksize");
  if (block < 1 || block > INT16_MAX) c.invalid("blocksize is " + std::to_string(block));
  return {x, block, x.dim(0), x.dim(1), x.dim(2), x.dim(3)};
}

Tensor depth_to_space(Context& c) {
  const Blocks s = blocks_of(c);
  const std::string mode = c.text("mode", "DCR");
  if (mode != "DCR" && mode != "CRD") c.invalid("mode is \"" + mode + "\"");
  const Dim b = s.block, deep = floor_div(s.channels, b * b);
  const bool blocks_first = mode == "DCR";
  const Tensor parts = blocks_first ? reshape(s.x, {s.n, b, b, deep, s.height, s.width})
                                    : reshape(s.x, {s.n, deep, b, b, s.height, s.width});
  const Tensor apart = permute(parts, blocks_first ? Ints{0, 3, 4, 1, 5, 2} : Ints{0, 1, 4, 2, 5, 3});
  return reshape(apart, {s.n, deep, s.height * b, s.width * b});
}

Tensor space_to_depth(Context& c) {
  const Blocks s = blocks_of(c);
  const Dim b = s.block, rows = floor_div(s.height, b), columns = floor_div(s.width, b);
  const Tensor parts = reshape(s.x, {s.n, s.channels, rows, b, columns, b});
  const std::string mode = c.text("mode", "DCR");
  if (mode != "DCR" && mode != "CRD") c.invalid("mode is \"" + mode + "\"");
  const Tensor apart = permute(parts, mode == "DCR" ? Ints{0, 3, 5, 1, 2, 4} : Ints{0, 1, 3, 5, 2, 4});
  return reshape(apart, {s.n, s.channels * b * b, rows, columns});
}

Tensor triangle(Context& c) {
  const Tensor x = c.in(0);
  if (x.rank() < 2) c.invalid("the operand has rank " + std::to_string(x.rank()) + ", at least 2 is needed");
  const bool upper = c.integer("upper", 1) != 0;
  if (!c.has(1)) return upper ? triu(x) : tril(x);
  if (const auto k = c.known(1); k && k->is_const())
    return upper ? triu(x, c.const_int(1)) : tril(x, c.const_int(1));
  const Shape plane{x.dim(-2), x.dim(-1)};
  const Tensor diagonal = iota(plane, 1) - iota(plane, 0), k = reshape(cast(c.in(1), DType::i64), {});
  return where(upper ? greater_equal(diagonal, k) : less_equal(diagonal, k), x, zeros({}, x.dtype()));
}

// How many of start, start + delta, ... come before limit.
Dim range_count(Context& c, const Dim& start, const Dim& limit, const Dim& delta) {
  if (!delta.is_const() || delta == Dim(0)) c.unsupported("its step is " + delta.str());
  const Dim span = delta.value() > 0 ? limit - start : start - limit;
  const int64_t by = delta.value() == INT64_MIN ? INT64_MAX : std::abs(delta.value());
  if (span.is_const()) return span.value() <= 0 ? 0 : (span.value() - 1) / by + 1;
  return by == 1 ? span : floor_div(span + Dim(by - 1), by);
}

Tensor counted(Context& c) {
  const DType dtype = c.in(0).dtype();
  if (is_floating(dtype)) {
    const double start = c.const_number(0), limit = c.const_number(1), delta = c.const_number(2);
    const double count = std::ceil((limit - start) / delta);
    if (!(count < 1e15)) c.invalid("a range of " + std::to_string(count) + " numbers");
    return iota({static_cast<int64_t>(std::max(count, 0.0))}, 0, dtype) * delta + start;
  }
  const Dim start = c.dim(0), limit = c.dim(1), delta = c.dim(2);
  const Dim count = range_count(c, start, limit, delta);
  Tensor y = arange(count, dtype);
  if (delta != Dim(1)) y = y * delta.value();
  if (start == Dim(0)) return y;
  return y + (start.is_const() ? full({}, static_cast<double>(start.value()), dtype) : extent(start, dtype));
}

}  // namespace

FOVEA_ONNX(Reshape) {
  const Tensor x = c.in(0);
  return {reshape(x, reshape_target(c, x))};
}
FOVEA_ONNX(Flatten) { return {flattened(c)}; }
FOVEA_ONNX(Squeeze) { return {squeezed(c)}; }
FOVEA_ONNX(Unsqueeze) { return {unsqueezed(c)}; }
FOVEA_ONNX(Transpose) {
  const Tensor x = c.in(0);
  Ints order = axis_range(0, x.rank());
  std::reverse(order.begin(), order.end());
  order = c.ints("perm", order);
  check_count(c, "perm", order.size(), x.rank());
  return {in_order(x, order)};
}
FOVEA_ONNX(Expand) { return {expanded(c)}; }
FOVEA_ONNX(Tile) { return {tiled(c)}; }
FOVEA_ONNX(Concat) {
  Tensors parts;
  for (size_t i = 0; i < c.inputs(); ++i) parts.push_back(c.in(i));
  if (parts.empty()) c.invalid("it has no operands");
  const int64_t axis = c.opset() < 4 ? c.integer("axis", 1) : c.integer("axis");
  return {concat(parts, axis_of(c, axis, parts[0].rank()))};
}
FOVEA_ONNX(Split) {
  const Tensor x = c.in(0);
  const int64_t axis = axis_of(c, c.integer("axis", 0), x.rank());
  return split(x, split_sizes(c, x.dim(axis)), axis);
}
FOVEA_ONNX(Slice) { return {sliced(c)}; }
FOVEA_ONNX(Pad) { return {padded(c)}; }
FOVEA_ONNX(DepthToSpace) { return {depth_to_space(c)}; }
FOVEA_ONNX(SpaceToDepth) { return {space_to_depth(c)}; }
FOVEA_ONNX(Trilu) { return {triangle(c)}; }
FOVEA_ONNX(EyeLike) {
  const Tensor x = c.in(0);
  if (x.rank() != 2) c.invalid("the operand has rank " + std::to_string(x.rank()) + ", 2 is needed");
  const Tensor diagonal = iota(x.shape(), 1) - iota(x.shape(), 0);
  return {cast(equal(diagonal, c.integer("k", 0)), c.dtype("dtype", x.dtype()))};
}
FOVEA_ONNX(Range) { return {counted(c)}; }

}  // namespace fovea::onnx
