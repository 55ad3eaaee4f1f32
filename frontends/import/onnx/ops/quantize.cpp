// Numbers stored as 8-bit integers with a scale and a zero point, computed with exactly.
#include <limits>

#include "frontends/import/onnx/ops/common.h"

namespace fovea::onnx {
namespace {

// A scale or zero point: one for all, or one for each element of `axis`, made to broadcast over x.
Tensor along(Context& c, const Tensor& p, const Tensor& x, int64_t axis) {
  if (p.rank() == 0) return p;
  if (p.rank() == 1 && p.dim(0) == Dim(1)) return reshape(p, {});
  if (p.rank() != 1) c.unsupported("a scale or zero point of shape " + to_string(p.shape()));
  Shape shape(static_cast<size_t>(x.rank()), Dim(1));
  return reshape(p, with_size(shape, axis_of(c, axis, x.rank()), p.dim(0)));
}

// round(x) + zero in the range of `dtype`.
Tensor saturated(const Tensor& x, const Tensor& zero, DType dtype) {
  const int bits = static_cast<int>(8 * size_of(dtype));
  const double low = dtype == DType::u8 ? 0 : -static_cast<double>(int64_t{1} << (bits - 1));
  const double high = static_cast<double>((int64_t{1} << (dtype == DType::u8 ? bits : bits - 1)) - 1);
  const Tensor y = round(x);
  return cast(clip(zero.defined() ? y + cast(zero, x.dtype()) : y, low, high), dtype);
}

void check_narrow(Context& c, DType dtype) {
  if (dtype != DType::u8 && dtype != DType::i8 && dtype != DType::i16)
    c.unsupported("quantisation to " + std::string(to_string(dtype)));
}

Tensor quantized(Context& c) {
  const Tensor x = c.in(0), zero = c.optional(2);
  const int64_t axis = c.integer("axis", 1);
  if (c.integer("block_size", 0) != 0) c.unsupported("quantisation by blocks");
  const DType dtype = zero.defined()                      ? zero.dtype()
                      : c.integer("output_dtype", 0) != 0 ? c.dtype("output_dtype")
                                                          : DType::u8;
  check_narrow(c, dtype);
  const Tensor wide = is_floating(x.dtype()) ? widened(x) : cast(x, DType::f32);
  const Tensor scale = cast(along(c, c.in(1), x, axis), wide.dtype());
  return saturated(wide / scale, zero.defined() ? along(c, zero, x, axis) : zero, dtype);
}

Tensor dequantized(Context& c) {
  const Tensor x = c.in(0), zero = c.optional(2), scale = c.in(1);
  const int64_t axis = c.integer("axis", 1);
  if (c.integer("block_size", 0) != 0) c.unsupported("quantisation by blocks");
  Tensor y = cast(x, DType::i32);
  if (zero.defined()) y = y - cast(along(c, zero, x, axis), DType::i32);
  const Tensor factor = widened(along(c, scale, x, axis));
  return cast(cast(y, factor.dtype()) * factor, scale.dtype());
}

std::vector<Tensor> dynamically_quantized(Context& c) {
  const Tensor x = c.in(0);
  const Tensor low = minimum(min(x), 0.0), high = maximum(max(x), 0.0), scale = (high - low) / 255.0;
  const Tensor divisor = where(equal(scale, 0), 1.0, scale);
  const Tensor zero = round(clip(-low / divisor, 0, 255));
  return {saturated(x / divisor, zero, DType::u8), scale, cast(zero, DType::u8)};
}

// x minus its zero point, exact in f64; a zero point a row or column stands on `axis`.
Tensor centered(Context& c, size_t i, size_t zero, int64_t axis) {
  const Tensor x = c.in(i), wide = cast(x, DType::f64);
  return c.has(zero) ? wide - cast(along(c, c.in(zero), x, axis), DType::f64) : wide;
}

// A wide result in units of the last operands' scale, on their zero point.
Tensor requantized(Context& c, const Tensor& y, const Tensor& factor, size_t zero) {
  const DType dtype = c.in(zero).dtype();
  check_narrow(c, dtype);
  return saturated(y * factor, reshape(c.in(zero), {}), dtype);
}

Tensor number_of(Context& c, size_t i) { return reshape(cast(c.in(i), DType::f64), {}); }

Tensor quantized_product(Context& c) {
  const Tensor y = matmul(centered(c, 0, 2, -2), centered(c, 3, 5, -1));
  const Tensor b_scale = cast(along(c, c.in(4), c.in(3), -1), DType::f64);
  return requantized(c, y, number_of(c, 1) * b_scale / number_of(c, 6), 7);
}

Tensor quantized_convolution(Context& c) {
  const Tensor bias = c.optional(8);
  const Tensor y = convolution(c, centered(c, 0, 2, 1), centered(c, 3, 5, 0),
                               bias.defined() ? cast(bias, DType::f64) : bias);
  const Tensor w_scale = cast(along(c, c.in(4), y, 1), DType::f64);
  return requantized(c, y, number_of(c, 1) * w_scale / number_of(c, 6), 7);
}

}  // namespace

FOVEA_ONNX(QuantizeLinear) { return {quantized(c)}; }
FOVEA_ONNX(DequantizeLinear) { return {dequantized(c)}; }
FOVEA_ONNX(DynamicQuantizeLinear) { return dynamically_quantized(c); }
FOVEA_ONNX(MatMulInteger) { return {cast(matmul(centered(c, 0, 2, -2), centered(c, 1, 3, -1)), DType::i32)}; }
FOVEA_ONNX(ConvInteger) {
  return {cast(convolution(c, centered(c, 0, 2, 1), centered(c, 1, 3, 0), {}), DType::i32)};
}
FOVEA_ONNX(QLinearMatMul) { return {quantized_product(c)}; }
FOVEA_ONNX(QLinearConv) { return {quantized_convolution(c)}; }

}  // namespace fovea::onnx
