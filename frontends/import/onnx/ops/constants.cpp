// Values that come from nowhere or from shapes alone, and ops that pass their operand on.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "frontends/import/onnx/ops/common.h"

namespace fovea::onnx {
namespace {

Array constant_of(Context& c) {
  if (c.has_attr("value")) return c.tensor("value");
  if (c.has_attr("value_float")) return Array::scalar(static_cast<float>(c.number("value_float")));
  if (c.has_attr("value_int")) return Array::scalar(c.integer("value_int"));
  if (c.has_attr("value_floats")) {
    const Floats values = c.floats("value_floats");
    return Array::of(values, {static_cast<int64_t>(values.size())}).cast(DType::f32);
  }
  if (c.has_attr("value_ints")) {
    const Ints values = c.ints("value_ints");
    return Array::of(values, {static_cast<int64_t>(values.size())});
  }
  c.unsupported("it holds a sparse tensor or strings");
}

Tensor constant_of_shape(Context& c) {
  const Shape shape = c.dims(0);
  Array value = Array::zeros(DType::f32, {});
  if (c.has_attr("value")) value = c.tensor("value");
  if (value.size() != 1) c.invalid("value has " + std::to_string(value.size()) + " elements, not 1");
  return broadcast_to(value.reshape({}), shape);
}

Known shape_of(Context& c) {
  const Shape shape = c.in(0).shape();
  const int64_t rank = static_cast<int64_t>(shape.size());
  const auto place = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank); };
  const int64_t start = place(c.integer("start", 0)), end = std::max(start, place(c.integer("end", rank)));
  return {{end - start}, Shape(shape.begin() + start, shape.begin() + end), DType::i64};
}

// At inference the operand passes; the mask is all true (before opset 10 of the operand's type).
std::vector<Tensor> dropped_out(Context& c) {
  const Tensor x = c.in(0);
  if (c.opset() >= 12 && c.has(2)) {
    const auto training = c.known(2);
    const auto ratio = c.constant(1);
    const bool keeps_all = c.has(1) && ratio && ratio->size() == 1 && ratio->get_flat(0) == 0;
    if (!keeps_all && (!training || !training->is_const() || training->values.at(0) != Dim(0)))
      c.unsupported("dropout in training: its random numbers are the program's own");
  } else if (c.opset() < 7 && c.integer("is_test", 0) == 0) {
    c.unsupported("dropout in training: its random numbers are the program's own");
  }
  Tensors out{x};
  if (c.outputs() > 1) out.push_back(ones(x.shape(), c.opset() < 10 ? x.dtype() : DType::boolean));
  return out;
}

[[noreturn]] void refuse_random(const Context& c) {
  c.unsupported("its random numbers are the program's own; a model that was exported for inference has none");
}

// a + b cos(2 pi i / n) + d cos(4 pi i / n): the windows of signal analysis.
Tensor window(Context& c, double a, double b, double d) {
  const int64_t size = c.const_int(0);
  if (size < 0 || size > (1 << 24)) c.unsupported("a window of size " + std::to_string(size));
  const double n = static_cast<double>(c.integer("periodic", 1) != 0 ? size : size - 1);
  Array w(DType::f64, {size});
  for (int64_t i = 0; i < size; ++i) {
    const double angle = n > 0 ? 2 * std::numbers::pi * static_cast<double>(i) / n : 0;
    w.set_flat(i, a + b * std::cos(angle) + d * std::cos(2 * angle));
  }
  return w.cast(c.dtype("output_datatype", DType::f32));
}

}  // namespace

FOVEA_ONNX(HannWindow) { return {window(c, 0.5, -0.5, 0)}; }
FOVEA_ONNX(HammingWindow) { return {window(c, 25.0 / 46, -21.0 / 46, 0)}; }
FOVEA_ONNX(BlackmanWindow) { return {window(c, 0.42, -0.5, 0.08)}; }
FOVEA_ONNX(Constant) { return {constant_of(c)}; }
FOVEA_ONNX(ConstantOfShape) { return {constant_of_shape(c)}; }
FOVEA_ONNX(Identity) {
  if (!c.has_sequence(0)) return {c.in(0)};
  c.set_sequence(0, c.sequence(0));
  return {};
}
FOVEA_ONNX(Bernoulli) { refuse_random(c); }
FOVEA_ONNX(Multinomial) { refuse_random(c); }
FOVEA_ONNX(RandomNormal) { refuse_random(c); }
FOVEA_ONNX(RandomNormalLike) { refuse_random(c); }
FOVEA_ONNX(RandomUniform) { refuse_random(c); }
FOVEA_ONNX(RandomUniformLike) { refuse_random(c); }
FOVEA_ONNX(Dropout) { return dropped_out(c); }
FOVEA_ONNX(Shape) {
  const Known shape = shape_of(c);
  c.set_known(0, shape);
  return {to_tensor(shape)};
}
FOVEA_ONNX(Size) {
  const Known size{{}, {product(c.in(0).shape())}, DType::i64};
  c.set_known(0, size);
  return {to_tensor(size)};
}

}  // namespace fovea::onnx
