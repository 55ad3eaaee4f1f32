// GridSample: the operand read at places that a grid gives.
#include <cmath>

#include "frontends/import/onnx/ops/common.h"

namespace fovea::onnx {
namespace {

enum class Beyond { zeros, border, reflection };

struct Sampler {
  Beyond beyond;
  bool align;

  // A place from -1 to 1 along an axis of `size` as an index with a fraction.
  Tensor place(const Tensor& x, const Tensor& size) const {
    return align ? (x + 1.0) * 0.5 * (size - 1.0) : ((x + 1.0) * size - 1.0) * 0.5;
  }

  // An index in the axis for each index that may lie beyond it.
  Tensor inside(const Tensor& i, const Dim& size) const {
    const Tensor n = extent(size), last = n - 1;
    if (beyond != Beyond::reflection) return minimum(maximum(i, 0), last);
    // Mirrored at the outermost elements, or half an element further out.
    const Tensor period = maximum(align ? 2 * last : 2 * n, 1), at = mod(i, period);
    const Tensor mirror = align ? period - at : period - 1 - at;
    return minimum(where(less(last, at), mirror, at), last);
  }
};

struct Tap {
  Tensor index, weight;  // weight undefined: 1
};

// The elements along one axis that a place reads, with their weights.
std::vector<Tap> taps_of(const std::string& mode, const Tensor& x) {
  if (mode == "nearest") return {{cast(round(x), DType::i64), {}}};
  const Tensor low = floor(x), part = x - low, first = cast(low, DType::i64);
  if (mode == "linear") return {{first, 1.0 - part}, {first + 1, part}};
  constexpr double a = -0.75;  // Keys 1981
  const auto near = [&](const Tensor& d) { return ((a + 2) * d - (a + 3)) * d * d + 1.0; };
  const auto far = [&](const Tensor& d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
  return {{first - 1, far(part + 1.0)},
          {first, near(part)},
          {first + 1, near(1.0 - part)},
          {first + 2, far(2.0 - part)}};
}

Tensor sampled(Context& c) {
  const Tensor x = c.in(0), grid = c.in(1);
  const int64_t axes = x.rank() - 2;
  if (axes < 1 || axes > 3 || grid.rank() != x.rank() || grid.dim(-1) != Dim(axes))
    c.invalid("a grid of shape " + to_string(grid.shape()) + " for an operand of shape " +
              to_string(x.shape()));
  std::string mode = c.text("mode", "linear");
  mode = mode == "bilinear" ? "linear" : mode == "bicubic" ? "cubic" : mode;
  if (mode != "linear" && mode != "cubic" && mode != "nearest") c.invalid("mode is \"" + mode + "\"");
  const std::string padding = c.text("padding_mode", "zeros");
  if (padding != "zeros" && padding != "border" && padding != "reflection")
    c.invalid("padding_mode is \"" + padding + "\"");
  const Sampler s{padding == "zeros"    ? Beyond::zeros
                  : padding == "border" ? Beyond::border
                                        : Beyond::reflection,
                  c.integer("align_corners", 0) != 0};

  // All ways to take one tap along each axis: where it stands in a sample's plane, and its weight.
  struct Path {
    Tensor at, weight, seen;
  };
  std::vector<Path> paths(1);
  for (int64_t d = 0; d < axes; ++d) {
    const Dim size = x.dim(2 + d);
    const Tensor along = select_index(grid, -1, axes - 1 - d);  // the last axis comes first in the grid
    const auto taps = taps_of(mode, s.place(along, extent(size, grid.dtype())));
    std::vector<Path> longer;
    for (const Path& p : paths)
      for (const Tap& tap : taps) {
        const Tensor i = s.inside(tap.index, size);
        Path q{p.at.defined() ? p.at * extent(size) + i : i, p.weight, p.seen};
        if (tap.weight.defined()) q.weight = q.weight.defined() ? q.weight * tap.weight : tap.weight;
        if (s.beyond == Beyond::zeros) {
          const Tensor seen = equal(i, tap.index);
          q.seen = q.seen.defined() ? logical_and(q.seen, seen) : seen;
        }
        longer.push_back(std::move(q));
      }
    paths = std::move(longer);
  }
  const Shape shape = x.shape();
  const Dim plane = product(Shape(shape.begin() + 2, shape.end()));
  const Tensor rows = reshape(move_axis(x, 1, -1), {shape[0] * plane, shape[1]});
  Shape samples(static_cast<size_t>(axes) + 1, Dim(1));
  samples[0] = shape[0];
  const Tensor first = iota(samples, 0) * extent(plane);
  Tensor y;
  for (const Path& p : paths) {
    Tensor part = gather(rows, p.at + first);
    if (p.weight.defined()) part = part * cast(unsqueeze(p.weight, -1), x.dtype());
    if (p.seen.defined()) part = where(unsqueeze(p.seen, -1), part, zeros({}, x.dtype()));
    y = y.defined() ? y + part : part;
  }
  return move_axis(y, -1, 1);
}

}  // namespace

FOVEA_ONNX(GridSample) { return {sampled(c)}; }

}  // namespace fovea::onnx
