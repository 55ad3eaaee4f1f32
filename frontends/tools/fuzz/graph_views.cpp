// Sources of views: other shapes, parts and what is around them.
#include "frontends/tools/fuzz/graph_maker.h"

namespace fovea::tools {
namespace {

// Another shape for as many elements.
Dims regrouped(GraphMaker& g, const Tensor& x) {
  int64_t left = elements(x);
  Dims shape;
  while (left > 1 && shape.size() < 3) {
    std::vector<int64_t> divisors;
    for (int64_t d = 2; d <= left; ++d)
      if (left % d == 0) divisors.push_back(d);
    shape.push_back(g.random.of(divisors));
    left /= shape.back();
  }
  if (left != 1) shape.push_back(left);
  if (g.random.one_in(3))
    shape.insert(shape.begin() + g.random.below(static_cast<int64_t>(shape.size()) + 1), 1);
  return shape;
}

void reshaped(GraphMaker& g) {
  const Known a = g.pick();
  if (elements(a.x) == 0) return;
  const Tensor y = reshape(a.x, to_shape(regrouped(g, a.x)));
  switch (g.random.below(3)) {
    case 0:
      return g.keep(reshape(y, a.x.shape()), a.bound);
    case 1:
      return g.keep(reshape(y, to_shape(regrouped(g, a.x))), a.bound);
    default:
      return g.keep(y, a.bound);
  }
}

void permuted(GraphMaker& g) {
  const Known a = g.pick();
  const Ints axes = g.some_order(a.x.rank());
  const Tensor y = permute(a.x, axes);
  if (!g.random.one_in(3)) return g.keep(y, a.bound);
  Ints back(axes.size());
  for (size_t i = 0; i < axes.size(); ++i) back[static_cast<size_t>(axes[i])] = static_cast<int64_t>(i);
  g.keep(permute(y, g.random.one_in(2) ? back : g.some_order(a.x.rank())), a.bound);
}

void broadcast(GraphMaker& g) {
  const Known a = g.pick();
  Dims shape = dims_of(a.x);
  for (int64_t& d : shape)
    if (d == 1 && g.random.one_in(2)) d = 2;
  Tensor y = broadcast_to(a.x, to_shape(shape));
  if (shape.size() < 4 && g.random.one_in(2)) {
    shape.insert(shape.begin(), 2);
    y = broadcast_to(y, to_shape(shape));
  }
  if (product(shape) <= kMostElements) g.keep(y, a.bound);
}

void sliced(GraphMaker& g) {
  const Known a = g.pick();
  if (a.x.rank() == 0) return;
  const int64_t axis = g.some_axis(a.x), n = dims_of(a.x)[static_cast<size_t>(axis)];
  const int64_t begin = g.random.below(n + 1), end = g.random.between(begin, n);
  Tensor y = slice(a.x, axis, begin, end, g.random.one_in(5) ? 2 : 1);
  const int64_t m = dims_of(y)[static_cast<size_t>(axis)];
  if (g.random.one_in(2) && m > 0) y = slice(y, axis, g.random.below(m), m);
  if (g.random.one_in(6)) y = slice(a.x, axis, 0, n);
  if (elements(y) > 0) g.keep(y, a.bound);
}

void padded(GraphMaker& g) {
  const Known a = g.pick();
  if (a.x.rank() == 0) return;
  const auto rank = static_cast<size_t>(a.x.rank());
  const auto axis = static_cast<size_t>(g.some_axis(a.x));
  const double value = a.x.dtype() == DType::boolean ? 0.0 : g.random.of({0.0, -0.0, 1.0});
  const auto around = [&](const Tensor& x, int64_t low, int64_t high) {
    Shape before(rank, Dim(0)), behind(rank, Dim(0));
    before[axis] = low;
    behind[axis] = high;
    return pad(x, before, behind, {}, value);
  };
  const int64_t low = g.random.below(3), high = g.random.below(3), n = dims_of(a.x)[axis];
  Tensor y = around(a.x, low, high);
  const auto along = static_cast<int64_t>(axis);
  switch (g.random.below(5)) {
    case 0:
      y = around(y, g.random.below(2), g.random.below(2));
      break;
    case 1:
      y = slice(y, along, low, low + n);
      break;
    case 2:
      if (low > 0) y = slice(y, along, 0, low);
      break;
    default:
      break;
  }
  if (elements(y) <= kMostElements && elements(y) > 0) g.keep(y, a.bound + 1);
}

// Slices of a tensor, each worked on, put back in their places with zeros around and added.
void pieces(GraphMaker& g) {
  const Known* k = g.pick_where(
      [](const Tensor& x) { return is_floating(x.dtype()) && x.rank() >= 1 && elements(x) >= 2; });
  if (!k || g.fuzz.special) return;
  const Known a = *k;
  const int64_t axis = g.some_axis(a.x), n = dims_of(a.x)[static_cast<size_t>(axis)];
  if (n < 2) return;
  const int64_t cut = g.random.between(1, n - 1);
  auto parts = split(a.x, {cut, n - cut}, axis);
  const auto rank = static_cast<size_t>(a.x.rank());
  Tensor total;
  if (g.random.one_in(3)) total = square(a.x);
  if (g.random.one_in(2)) std::swap(parts[0], parts[1]);
  int64_t at = dims_of(parts[0])[static_cast<size_t>(axis)] == cut && parts.size() == 2 ? 0 : cut;
  for (const Tensor& p : parts) {
    const int64_t m = dims_of(p)[static_cast<size_t>(axis)];
    Shape low(rank, Dim(0)), high(rank, Dim(0));
    low[static_cast<size_t>(axis)] = std::min(at, n - m);
    high[static_cast<size_t>(axis)] = n - m - std::min(at, n - m);
    const Tensor piece = pad(g.random.one_in(2) ? -p : p, low, high, {}, 0);
    total = total.defined() ? (g.random.one_in(2) ? total + piece : piece + total) : piece;
    at = at == 0 ? m : 0;
  }
  g.keep(total, a.bound * a.bound + a.bound);
  if (g.random.one_in(2)) g.keep(concat(split(a.x, {cut, n - cut}, axis), axis), a.bound);
}

void concatenated(GraphMaker& g) {
  const Known a = g.pick();
  if (a.x.rank() == 0) return;
  const int64_t axis = g.some_axis(a.x), n = dims_of(a.x)[static_cast<size_t>(axis)];
  if (g.random.one_in(4)) return g.keep(apply1("concat", {a.x}, {{"axis", axis}}), a.bound);
  const Tensor y = concat({a.x, g.constant(a.x.dtype(), dims_of(a.x))}, axis);
  if (elements(y) > kMostElements) return;
  const int64_t begin = g.random.below(2 * n), end = g.random.between(begin + 1, 2 * n);
  g.keep(g.random.one_in(2) ? y : slice(y, axis, begin, end), a.bound + 3);
}

}  // namespace

const std::vector<GraphSource>& view_sources() {
  static const std::vector<GraphSource> sources = {reshaped, permuted, broadcast,   sliced,
                                                   padded,   pieces,   concatenated};
  return sources;
}

}  // namespace fovea::tools
