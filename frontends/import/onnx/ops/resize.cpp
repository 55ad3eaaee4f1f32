// Resize and Upsample. Interpolation runs along one axis after the other: each is a product with a matrix of
// weights that is known when the model is read, or for nearest neighbours a choice of elements.
#include <algorithm>
#include <cmath>

#include "frontends/import/onnx/ops/common.h"

namespace fovea::onnx {
namespace {

// How one node interpolates.
struct Rule {
  std::string mode, coordinates, nearest;
  double cubic_a = -0.75, extrapolation = 0;
  bool exclude_outside = false, antialias = false;
};

// One axis: `in` elements become `out`.
struct Axis {
  int64_t axis, in, out;
  double scale, roi_start = 0, roi_end = 1;
};

// Where in the operand element `i` of the result comes from.
double source_of(const Rule& r, const Axis& a, int64_t i) {
  const double x = static_cast<double>(i), n = static_cast<double>(a.in), resized = a.scale * n;
  if (r.coordinates == "align_corners") return resized == 1 ? 0 : x * (n - 1) / (resized - 1);
  if (r.coordinates == "asymmetric") return x / a.scale;
  if (r.coordinates == "tf_half_pixel_for_nn") return (x + 0.5) / a.scale;
  if (r.coordinates == "pytorch_half_pixel") return resized > 1 ? (x + 0.5) / a.scale - 0.5 : 0;
  if (r.coordinates == "tf_crop_and_resize") {
    const double size = (a.roi_end - a.roi_start) * (n - 1);
    return a.roi_start * (n - 1) + (resized == 1 ? size / 2 : x * size / (resized - 1));
  }
  const double place = (x + 0.5) / a.scale - 0.5;
  if (r.coordinates != "half_pixel_symmetric") return place;
  return n / 2 * (1 - static_cast<double>(a.out) / resized) + place;
}

bool is_outside(const Rule& r, const Axis& a, double x) {
  return r.coordinates == "tf_crop_and_resize" && !(x >= 0 && x <= static_cast<double>(a.in - 1));
}

double nearest_of(const Rule& r, double x) {
  if (r.nearest == "floor") return std::floor(x);
  if (r.nearest == "ceil") return std::ceil(x);
  return r.nearest == "round_prefer_ceil" ? std::floor(x + 0.5) : std::ceil(x - 0.5);
}

// The interpolation's weight at a distance (Keys 1981 for cubic).
double weight_at(const Rule& r, double distance) {
  const double d = std::abs(distance), a = r.cubic_a;
  if (r.mode == "linear") return std::max(0.0, 1 - d);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

// weights[i, j]: the share of element j of the operand in element i of the result.
Array weights_of(const Rule& r, const Axis& a, DType dtype) {
  Array w = Array::zeros(DType::f64, {a.out, a.in});
  const double shrink = r.antialias ? std::min(a.scale, 1.0) : 1.0;
  const double reach = (r.mode == "linear" ? 1 : 2) / shrink;
  for (int64_t i = 0; i < a.out; ++i) {
    const double x = source_of(r, a, i);
    if (is_outside(r, a, x)) continue;
    double total = 0;
    const double first = std::ceil(x - reach), last = std::floor(x + reach);
    const auto each = [&](auto use) {
      for (double j = first; j <= last; ++j) {
        const bool inside = j >= 0 && j < static_cast<double>(a.in);
        const double share = r.exclude_outside && !inside ? 0 : weight_at(r, (j - x) * shrink);
        if (share != 0) use(std::clamp<int64_t>(static_cast<int64_t>(j), 0, a.in - 1), share);
      }
    };
    each([&](int64_t, double share) { total += share; });
    each(
        [&](int64_t j, double share) { w.set_flat(i * a.in + j, w.get_flat(i * a.in + j) + share / total); });
  }
  return w.cast(dtype);
}

Tensor resize_axis(const Rule& r, const Axis& a, const Tensor& x) {
  if (r.mode == "nearest") {
    std::vector<int64_t> from;
    for (int64_t i = 0; i < a.out; ++i) {
      const double at = nearest_of(r, source_of(r, a, i));
      from.push_back(at > 0 ? static_cast<int64_t>(std::min(at, static_cast<double>(a.in - 1))) : 0);
    }
    return gather(x, Array::of(from, {a.out}), a.axis);
  }
  const Tensor w = weights_of(r, a, x.dtype());
  if (a.axis == x.rank() - 2) return matmul(w, x);
  return move_axis(matmul(move_axis(x, a.axis, -1), transpose(w, 0, 1)), -1, a.axis);
}

// True where an element of the result lies outside the region of interest, or undefined.
Tensor outside(const Rule& r, const std::vector<Axis>& axes, int64_t rank) {
  Tensor any_of;
  if (r.coordinates != "tf_crop_and_resize") return any_of;
  for (const Axis& a : axes) {
    Array flags(DType::boolean, {a.out});
    for (int64_t i = 0; i < a.out; ++i) flags.set_flat(i, is_outside(r, a, source_of(r, a, i)));
    Shape shape(static_cast<size_t>(rank), Dim(1));
    const Tensor along = reshape(flags, with_size(shape, a.axis, a.out));
    any_of = any_of.defined() ? logical_or(any_of, along) : along;
  }
  return any_of;
}

Tensor interpolate(const Rule& r, const std::vector<Axis>& axes, const Tensor& given) {
  Tensor x = r.mode == "nearest" ? given : widened(given);
  if (r.mode != "nearest" && !is_floating(x.dtype())) x = cast(x, DType::f32);
  for (const Axis& a : axes) x = resize_axis(r, a, x);
  if (const Tensor beyond = outside(r, axes, x.rank()); beyond.defined())
    x = where(beyond, cast(full({}, r.extrapolation), x.dtype()), x);
  return cast(x, given.dtype());
}

Rule rule_of(Context& c) {
  Rule r;
  r.mode = c.text("mode", "nearest");
  const bool old = c.opset() < 11;  // before, and for Upsample
  r.coordinates = old ? "asymmetric" : c.text("coordinate_transformation_mode", "half_pixel");
  r.nearest = old ? "floor" : c.text("nearest_mode", "round_prefer_floor");
  r.cubic_a = c.number("cubic_coeff_a", -0.75);
  r.extrapolation = c.number("extrapolation_value", 0.0);
  r.exclude_outside = c.integer("exclude_outside", 0) != 0;
  r.antialias = c.integer("antialias", 0) != 0;
  if (r.mode != "nearest" && r.mode != "linear" && r.mode != "cubic") c.invalid("mode is \"" + r.mode + "\"");
  for (const char* known : {"align_corners", "asymmetric", "tf_half_pixel_for_nn", "pytorch_half_pixel",
                            "tf_crop_and_resize", "half_pixel", "half_pixel_symmetric"})
    if (r.coordinates == known) return r;
  c.invalid("coordinate_transformation_mode is \"" + r.coordinates + "\"");
}

std::vector<double> numbers(Context& c, size_t i) {
  const auto array = c.constant(i);
  if (!array) c.unsupported("its input " + std::to_string(i) + " must be known when the model is read");
  return array->to_vector<double>();
}

std::vector<double> scales_of(Context& c) {
  if (c.opset() < 9 && c.op() == "Upsample") {
    const Floats scales = c.floats("scales");
    return {scales.begin(), scales.end()};
  }
  const size_t at = c.opset() < 11 ? 1 : 2;
  return c.has(at) ? numbers(c, at) : std::vector<double>{};
}

// Sizes that keep the proportions: one scale for all axes.
void keep_proportions(Context& c, std::vector<Axis>& axes) {
  const std::string policy = c.text("keep_aspect_ratio_policy", "stretch");
  if (policy == "stretch" || axes.empty()) return;
  double scale = axes[0].scale;
  for (const Axis& a : axes)
    scale = policy == "not_larger" ? std::min(scale, a.scale) : std::max(scale, a.scale);
  for (Axis& a : axes) {
    a.scale = scale;
    a.out = static_cast<int64_t>(std::floor(scale * static_cast<double>(a.in) + 0.5));
  }
}

// The axes whose elements are not simply kept.
std::vector<Axis> axes_to_resize(Context& c, const Rule& r, const Tensor& x) {
  const Ints which = c.has_attr("axes") ? axes_of(c, c.ints("axes"), x.rank()) : axis_range(0, x.rank());
  const std::vector<double> scales = scales_of(c);
  Shape sizes;
  if (scales.empty()) sizes = c.dims(3);
  const int64_t count = static_cast<int64_t>(which.size());
  check_count(c, scales.empty() ? "sizes" : "scales", scales.empty() ? sizes.size() : scales.size(), count);
  std::vector<double> roi;
  if (r.coordinates == "tf_crop_and_resize") {
    roi = numbers(c, 1);
    check_count(c, "roi", roi.size(), 2 * count);
  }
  std::vector<Axis> axes;
  for (size_t i = 0; i < which.size(); ++i) {
    const Dim n = x.dim(which[i]);
    if (scales.empty() ? sizes[i] == n && roi.empty() : scales[i] == 1 && roi.empty()) continue;
    if (!n.is_const() || (scales.empty() && !sizes[i].is_const()))
      c.unsupported("axis " + std::to_string(which[i]) + " of size " + n.str() +
                    " must be known when the model is read");
    Axis a{which[i], n.value(), 0, 1};
    const double from = static_cast<double>(a.in);
    const double to = scales.empty() ? static_cast<double>(sizes[i].value()) : std::floor(from * scales[i]);
    if (!(to >= 0 && to * from < 1 << 28) || a.in < 1 || (!scales.empty() && !(scales[i] > 0)))
      c.invalid("axis " + std::to_string(which[i]) + " of size " + n.str() + " would get size " +
                std::to_string(to));
    a.out = static_cast<int64_t>(to);
    a.scale = scales.empty() ? to / from : scales[i];
    if (!roi.empty()) a.roi_start = roi[i], a.roi_end = roi[which.size() + i];
    axes.push_back(a);
  }
  if (scales.empty()) keep_proportions(c, axes);
  return axes;
}

Tensor resized(Context& c) {
  const Tensor x = c.in(0);
  const Rule r = rule_of(c);
  return interpolate(r, axes_to_resize(c, r, x), x);
}

}  // namespace

FOVEA_ONNX(Resize) { return {resized(c)}; }
FOVEA_ONNX(Upsample) { return {resized(c)}; }

}  // namespace fovea::onnx
