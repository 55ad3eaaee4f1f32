// Reductions over axes, positions of extremes, running sums, and what normalises a row by them.
#include <algorithm>
#include <limits>

#include "frontends/import/onnx/ops/common.h"

namespace fovea::onnx {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

using Map = Tensor (*)(const Tensor&);
using Fold = Tensor (*)(const Tensor&, const Ints&, bool);

Tensor same(const Tensor& x) { return x; }
Tensor magnitude(const Tensor& x) { return abs(x); }
Tensor squared(const Tensor& x) { return square(x); }
Tensor logarithm(const Tensor& x) { return log(x); }
Tensor sum_over(const Tensor& x, const Ints& axes, bool keep) { return sum(x, axes, keep); }

// The axes to reduce; nothing where the operand passes through. Attribute `axes`, or operand 1 in later
// opsets.
std::optional<Ints> reduced_axes(Context& c, int64_t rank) {
  const Ints axes = axes_of(c, c.ints_at(1, "axes"), rank);
  if (axes.empty() && c.integer("noop_with_empty_axes", 0) != 0) return std::nullopt;
  return axes.empty() ? axis_range(0, rank) : axes;
}

// behind(fold(before(x))); a 0-d operand has nothing to fold.
std::vector<Tensor> reduced(Context& c, Map before, Fold fold, Map behind) {
  const Tensor x = before(c.in(0));
  const auto axes = reduced_axes(c, x.rank());
  const bool keep = c.integer("keepdims", 1) != 0;
  return {behind(axes && !axes->empty() ? fold(x, *axes, keep) : x)};
}

// Functions of sums whose results are no integers.
std::vector<Tensor> reduced_wide(Context& c, Map before, Fold fold, Map behind) {
  const Tensor x = c.in(0);
  if (is_floating(x.dtype())) return reduced(c, before, fold, behind);
  c.unsupported("it takes floating types only, the operand is " + std::string(to_string(x.dtype())));
}

Tensor root(const Tensor& x) { return sqrt(x); }
Tensor mean_of(const Tensor& x, const Ints& axes, bool keep) { return cast(mean(x, axes, keep), x.dtype()); }
Tensor prod_of(const Tensor& x, const Ints& axes, bool keep) { return prod(x, axes, keep); }

bool any_empty(const Tensor& x, const Ints& axes) {
  return std::any_of(axes.begin(), axes.end(), [&](int64_t d) { return x.dim(d) == Dim(0); });
}

Tensor logsumexp_of(const Tensor& x, const Ints& axes, bool keep) {
  return any_empty(x, axes) ? log(sum(x, axes, keep)) : logsumexp(x, axes, keep);
}

// The largest or smallest element; of none the least or greatest number there is.
Tensor extreme(const Tensor& x, const Ints& axes, bool keep, bool largest) {
  if (x.dtype() == DType::boolean) return largest ? any(x, axes, keep) : all(x, axes, keep);
  if (any_empty(x, axes)) return full(sum(x, axes, keep).shape(), largest ? -kInf : kInf, x.dtype());
  return largest ? max(x, axes, keep) : min(x, axes, keep);
}
Tensor largest_of(const Tensor& x, const Ints& axes, bool keep) { return extreme(x, axes, keep, true); }
Tensor smallest_of(const Tensor& x, const Ints& axes, bool keep) { return extreme(x, axes, keep, false); }

std::vector<Tensor> arg_extreme(Context& c, Tensor (*find)(const Arg&, int64_t, bool)) {
  const Tensor x = c.in(0);
  const int64_t axis = axis_of(c, c.integer("axis", 0), x.rank());
  const bool keep = c.integer("keepdims", 1) != 0, last = c.integer("select_last_index", 0) != 0;
  if (!last) return {find(x, axis, keep)};
  return {extent(x.dim(axis) - Dim(1)) - find(flip(x, {axis}), axis, keep)};
}

// Before opset 13 a softmax ran over all axes from `axis` on as one.
template <class F>
std::vector<Tensor> over_rows(Context& c, F f) {
  const Tensor x = c.in(0);
  const bool joined = c.opset() < 13;
  if (x.rank() == 0) return {reshape(f(reshape(x, {1}), 0), {})};
  const int64_t given = c.integer("axis", joined ? 1 : -1), axis = given < 0 ? given + x.rank() : given;
  if (axis < 0 || axis >= x.rank() + (joined ? 1 : 0))
    c.invalid("axis " + std::to_string(given) + " is out of range for rank " + std::to_string(x.rank()));
  if (!joined || axis == x.rank() - 1) return {f(x, axis)};
  const Shape shape = x.shape();
  const Dim rows = product(Shape(shape.begin(), shape.begin() + axis));
  const Dim columns = product(Shape(shape.begin() + axis, shape.end()));
  return {reshape(f(reshape(x, {rows, columns}), 1), shape)};
}

// Running sums or products. Exclusive: without their own element; `none` comes in at one end, the last one
// leaves at the other.
template <class F>
Tensor running(Context& c, double none, F f) {
  const Tensor x = c.in(0);
  const int64_t axis = axis_of(c, c.const_int(1), x.rank());
  const bool reverse = c.integer("reverse", 0) != 0;
  const Tensor y = f(x, axis, reverse);
  if (c.integer("exclusive", 0) == 0) return y;
  const Shape zero(static_cast<size_t>(x.rank()), Dim(0));
  return pad(y, with_size(zero, axis, reverse ? -1 : 1), with_size(zero, axis, reverse ? 1 : -1), {}, none);
}

}  // namespace

FOVEA_ONNX(ReduceSum) { return reduced(c, same, sum_over, same); }
FOVEA_ONNX(ReduceMean) { return reduced(c, same, mean_of, same); }
FOVEA_ONNX(ReduceProd) { return reduced(c, same, prod_of, same); }
FOVEA_ONNX(ReduceMax) { return reduced(c, same, largest_of, same); }
FOVEA_ONNX(ReduceMin) { return reduced(c, same, smallest_of, same); }
FOVEA_ONNX(ReduceL1) { return reduced(c, magnitude, sum_over, same); }
FOVEA_ONNX(ReduceL2) { return reduced_wide(c, squared, sum_over, root); }
FOVEA_ONNX(ReduceSumSquare) { return reduced(c, squared, sum_over, same); }
FOVEA_ONNX(ReduceLogSum) { return reduced_wide(c, same, sum_over, logarithm); }
FOVEA_ONNX(ReduceLogSumExp) { return reduced_wide(c, same, logsumexp_of, same); }

FOVEA_ONNX(ArgMax) { return arg_extreme(c, argmax); }
FOVEA_ONNX(ArgMin) { return arg_extreme(c, argmin); }

FOVEA_ONNX(Softmax) {
  return over_rows(c, [](const Tensor& x, int64_t axis) { return softmax(x, axis); });
}
FOVEA_ONNX(LogSoftmax) {
  return over_rows(c, [](const Tensor& x, int64_t axis) { return log_softmax(x, axis); });
}
FOVEA_ONNX(Hardmax) {
  return over_rows(c, [](const Tensor& x, int64_t axis) {
    return move_axis(one_hot(argmax(x, axis), x.dim(axis), x.dtype()), -1, axis);
  });
}

FOVEA_ONNX(CumSum) {
  return {
      running(c, 0, [](const Tensor& x, int64_t axis, bool reverse) { return cumsum(x, axis, reverse); })};
}
FOVEA_ONNX(CumProd) {
  return {running(c, 1, [](const Tensor& x, int64_t axis, bool reverse) {
    return reverse ? flip(cumprod(flip(x, {axis}), axis), {axis}) : cumprod(x, axis);
  })};
}

FOVEA_ONNX(TopK) {
  const Tensor x = c.in(0);
  const int64_t axis = axis_of(c, c.integer("axis", -1), x.rank());
  const int64_t k = c.opset() < 10 ? c.integer("k") : c.const_int(1);
  const Sorted best = top_k(x, k, axis, c.integer("largest", 1) != 0);
  return {best.values, best.indices};
}

}  // namespace fovea::onnx
