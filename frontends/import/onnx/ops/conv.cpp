// Convolutions.
#include "frontends/import/onnx/convert.h"
#include "generated/ops.h"

namespace fovea::onnx {
namespace {

// {low, high} of each axis as the op's pads or auto_pad say.
Ints padding(Context& c, const Tensor& x, const Ints& kernel, const Ints& stride, const Ints& dilation) {
  const size_t axes = kernel.size();
  const std::string mode = c.text("auto_pad", "NOTSET");
  Ints out;
  if (mode == "SAME_UPPER" || mode == "SAME_LOWER") {
    for (size_t i = 0; i < axes; ++i) {
      const Dim size = x.dim(static_cast<int64_t>(i) + 2);
      const int64_t reach = dilation[i] * (kernel[i] - 1) + 1;
      if (!size.is_const() && stride[i] != 1)
        c.unsupported("auto_pad " + mode + " with stride " + std::to_string(stride[i]) + " needs axis " +
                      std::to_string(i + 2) + " of its input, " + size.str() + ", to be a number");
      int64_t total = reach - 1;
      if (size.is_const()) {
        const int64_t count = (size.value() + stride[i] - 1) / stride[i];
        total = std::max<int64_t>(0, (count - 1) * stride[i] + reach - size.value());
      }
      const int64_t less = total / 2, more = total - less;
      out.push_back(mode == "SAME_UPPER" ? less : more);
      out.push_back(mode == "SAME_UPPER" ? more : less);
    }
    return out;
  }
  if (mode != "NOTSET" && mode != "VALID") c.invalid("auto_pad '" + mode + "' is not known");
  const Ints pads = mode == "VALID" ? Ints(2 * axes, 0) : c.ints("pads", Ints(2 * axes, 0));
  if (pads.size() != 2 * axes)
    c.invalid("pads has " + std::to_string(pads.size()) + " numbers, not " + std::to_string(2 * axes));
  for (size_t i = 0; i < axes; ++i) {
    out.push_back(pads[i]);
    out.push_back(pads[axes + i]);
  }
  return out;
}

// One number an axis, all of them at least 1.
Ints steps(Context& c, const char* name, size_t axes) {
  const Ints out = c.ints(name, Ints(axes, 1));
  if (out.size() != axes)
    c.invalid(std::string(name) + " has " + std::to_string(out.size()) + " numbers, not " +
              std::to_string(axes));
  for (int64_t n : out)
    if (n < 1 || n > INT32_MAX) c.invalid(std::string(name) + " holds " + std::to_string(n));
  return out;
}

}  // namespace

FOVEA_ONNX(Conv) {
  const Tensor x = c.in(0), weight = c.in(1), bias = c.optional(2);
  if (x.rank() < 3 || weight.rank() != x.rank())
    c.invalid("x has rank " + std::to_string(x.rank()) + ", the weight rank " +
              std::to_string(weight.rank()));
  const auto axes = static_cast<size_t>(x.rank() - 2);
  if (axes > 2) c.unsupported("convolution over " + std::to_string(axes) + " axes");
  Ints kernel;
  for (size_t i = 0; i < axes; ++i) kernel.push_back(weight.dim(static_cast<int64_t>(i) + 2).value());
  if (c.ints("kernel_shape", kernel) != kernel) c.invalid("kernel_shape is not the weight's");
  Conv2dOptions options;
  options.stride = steps(c, "strides", axes);
  options.dilation = steps(c, "dilations", axes);
  options.groups = c.integer("group", 1);
  options.padding = padding(c, x, kernel, options.stride, options.dilation);
  return {axes == 1 ? conv1d(x, weight, bias, options) : conv2d(x, weight, bias, options)};
}

}  // namespace fovea::onnx
