#include "frontends/import/onnx/ops/common.h"

#include <algorithm>

namespace fovea::onnx {
namespace {

bool is_half(DType t) { return t == DType::f16 || t == DType::bf16; }

}  // namespace

int64_t at_least(const Context& c, std::string_view name, int64_t value, int64_t least) {
  if (value < least || value > INT32_MAX)
    c.invalid(std::string(name) + " is " + std::to_string(value) + ", it must be at least " +
              std::to_string(least) + " and below 2^31");
  return value;
}

namespace {

// One number an axis, or `fallback` for each.
Ints per_axis(Context& c, std::string_view name, int64_t axes, int64_t fallback) {
  Ints list = c.ints(name);
  if (list.empty()) list.assign(static_cast<size_t>(axes), fallback);
  check_count(c, name, list.size(), axes);
  for (int64_t v : list) at_least(c, name, v, 1);
  return list;
}

}  // namespace

Tensor widened(const Tensor& x) { return is_half(x.dtype()) ? cast(x, DType::f32) : x; }

void check_count(const Context& c, std::string_view what, size_t got, int64_t want) {
  if (static_cast<int64_t>(got) != want)
    c.invalid(std::string(what) + " has " + std::to_string(got) + " numbers, " + std::to_string(want) +
              " are needed");
}

Tensor positions(Context& c, size_t i, const Dim& size, bool signed_positions) {
  Tensor at = c.in(i);
  if (at.dtype() != DType::i32 && at.dtype() != DType::i64) at = cast(at, DType::i64);
  if (!signed_positions) return at;
  if (const auto known = c.constant(i); known && !is_floating(known->dtype())) {
    std::vector<int64_t> values = known->to_vector<int64_t>();
    if (std::none_of(values.begin(), values.end(), [](int64_t v) { return v < 0; })) return at;
    if (size.is_const()) {
      for (int64_t& v : values)
        if (v < 0) v += size.value();
      return Array::of(values, known->shape());
    }
  }
  return where(less(at, 0), at + extent(size, at.dtype()), at);
}

Shape with_size(Shape shape, int64_t axis, const Dim& size) {
  shape[static_cast<size_t>(axis)] = size;
  return shape;
}

Ints axis_range(int64_t first, int64_t last) {
  Ints axes;
  for (int64_t d = first; d < last; ++d) axes.push_back(d);
  return axes;
}

Tensor in_order(const Tensor& x, const Ints& order) {
  return order == axis_range(0, x.rank()) ? x : permute(x, order);
}

SpatialWindows spatial_windows(Context& c, const Tensor& x, const Ints& kernel) {
  const int64_t axes = x.rank() - 2;
  if (axes < 1) c.invalid("the operand has rank " + std::to_string(x.rank()) + ", at least 3 is needed");
  check_count(c, "kernel_shape", kernel.size(), axes);
  for (int64_t v : kernel) at_least(c, "kernel_shape", v, 1);
  SpatialWindows w;
  w.kernel = kernel;
  w.stride = per_axis(c, "strides", axes, 1);
  w.dilation = per_axis(c, "dilations", axes, 1);
  w.ceil = c.integer("ceil_mode", 0) != 0;
  w.low.assign(kernel.size(), 0);
  w.high.assign(kernel.size(), 0);
  const std::string automatic = c.text("auto_pad", "NOTSET");
  if (automatic == "NOTSET") {
    const Ints pads = c.ints("pads", Ints(2 * kernel.size(), 0));
    check_count(c, "pads", pads.size(), 2 * axes);
    for (size_t d = 0; d < kernel.size(); ++d) {
      w.low[d] = at_least(c, "pads", pads[d], 0);
      w.high[d] = at_least(c, "pads", pads[kernel.size() + d], 0);
    }
  } else if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") {
    // ceil(size / stride) windows; what is missing is shared by both ends.
    for (size_t d = 0; d < kernel.size(); ++d) {
      const int64_t reach = w.dilation[d] * (kernel[d] - 1) + 1;
      int64_t missing = reach - 1;
      if (w.stride[d] != 1) {
        const Dim& n = x.dim(2 + static_cast<int64_t>(d));
        if (!n.is_const() || n.value() > INT32_MAX)
          c.unsupported("auto_pad with strides needs known sizes below 2^31, one is " + n.str());
        const int64_t windows = (n.value() + w.stride[d] - 1) / w.stride[d];
        missing = std::max<int64_t>(0, (windows - 1) * w.stride[d] + reach - n.value());
      }
      (automatic == "SAME_UPPER" ? w.low : w.high)[d] = missing / 2;
      (automatic == "SAME_UPPER" ? w.high : w.low)[d] = missing - missing / 2;
    }
  } else if (automatic != "VALID") {
    c.invalid("auto_pad is \"" + automatic + "\"");
  }
  return w;
}

}  // namespace fovea::onnx
