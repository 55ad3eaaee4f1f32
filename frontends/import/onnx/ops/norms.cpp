// Normalisation over rows, groups and batches.
#include "frontends/import/onnx/ops/common.h"

namespace fovea::onnx {
namespace {

// Operand i in the type of x; undefined where it is left out.
Tensor parameter(Context& c, size_t i, DType dtype) {
  const Tensor p = c.optional(i);
  return p.defined() && p.dtype() != dtype ? cast(p, dtype) : p;
}

// Statistics of half types are f32.
DType statistics_type(const Tensor& x) { return x.dtype() == DType::f64 ? DType::f64 : DType::f32; }

// A parameter that a norm op takes: of the shape of the rows. Others are applied behind it.
bool fits(const Tensor& p, const Shape& row) { return !p.defined() || p.shape() == row; }

struct Row {
  Tensor x;
  int64_t axis, dims;
  Shape shape;
};

Row row_of(Context& c) {
  const Tensor x = c.in(0);
  const int64_t axis = axis_of(c, c.integer("axis", -1), x.rank());
  const Shape shape = x.shape();
  return {x, axis, x.rank() - axis, Shape(shape.begin() + axis, shape.end())};
}

std::vector<Tensor> layer_normalised(Context& c) {
  const Row row = row_of(c);
  const double eps = c.number("epsilon", 1e-5);
  const Tensor scale = parameter(c, 1, row.x.dtype()), bias = parameter(c, 2, row.x.dtype());
  Tensor y;
  if (fits(scale, row.shape) && fits(bias, row.shape)) {
    y = layer_norm(row.x, scale, bias, eps, row.dims);
  } else {
    y = layer_norm(row.x, {}, {}, eps, row.dims) * scale;
    if (bias.defined()) y = y + bias;
  }
  Tensors out{y};
  if (c.outputs() > 1) {
    const Ints axes = axis_range(row.axis, row.x.rank());
    const Tensor x = widened(row.x), center = mean(x, axes, true);
    out.push_back(center);
    out.push_back(rsqrt(mean(square(x - center), axes, true) + eps));
  }
  return out;
}

Tensor rms_normalised(Context& c) {
  const Row row = row_of(c);
  const double eps = c.number("epsilon", 1e-5);
  const Tensor scale = parameter(c, 1, row.x.dtype());
  if (fits(scale, row.shape)) return rms_norm(row.x, scale, eps, row.dims);
  return rms_norm(row.x, {}, eps, row.dims) * scale;
}

// Running statistics: what they were, and a share of this batch's.
Tensor running(const Tensor& before, const Tensor& batch, double momentum) {
  return cast(widened(before) * momentum + batch * (1 - momentum), before.dtype());
}

std::vector<Tensor> batch_normalised(Context& c) {
  const Tensor x = c.in(0);
  const DType statistics = statistics_type(x);
  const double eps = c.number("epsilon", 1e-5), momentum = c.number("momentum", 0.9);
  if (c.opset() < 9 && c.integer("spatial", 1) == 0) c.unsupported("spatial = 0");
  const Tensor scale = parameter(c, 1, x.dtype()), bias = parameter(c, 2, x.dtype());
  const bool training = c.opset() >= 14 ? c.integer("training_mode", 0) != 0 : c.outputs() > 1;
  if (!training)
    return {
        batch_norm_inference(x, parameter(c, 3, statistics), parameter(c, 4, statistics), scale, bias, eps)};
  if (c.opset() < 14) c.unsupported("training before opset 14");
  const BatchNorm batch = batch_norm_train(x, scale, bias, eps);
  return {batch.y, running(c.in(3), batch.mean, momentum), running(c.in(4), batch.var, momentum)};
}

Tensor group_normalised(Context& c) {
  const Tensor x = c.in(0);
  const int64_t groups = c.integer("num_groups");
  Tensor scale = parameter(c, 1, x.dtype()), bias = parameter(c, 2, x.dtype());
  if (c.opset() < 21) {  // one value a group
    if (x.rank() < 2 || !x.dim(1).is_const() || groups < 1 || x.dim(1).value() % groups != 0)
      c.invalid(std::to_string(groups) + " groups for an operand of shape " + to_string(x.shape()));
    const int64_t each = x.dim(1).value() / groups;
    scale = repeat(scale, each, 0);
    bias = repeat(bias, each, 0);
  }
  return group_norm(x, groups, scale, bias, c.number("epsilon", 1e-5));
}

// Over the channels from (size - 1) / 2 before to size / 2 behind each.
Tensor local_response(Context& c) {
  const Tensor x = c.in(0);
  const int64_t size = c.integer("size");
  if (x.rank() < 2 || size < 1 || size > INT32_MAX)
    c.invalid("size " + std::to_string(size) + " for an operand of rank " + std::to_string(x.rank()));
  const Shape shape = x.shape();
  const Tensor planes =
      reshape(square(x), {shape[0], 1, shape[1], product(Shape(shape.begin() + 2, shape.end()))});
  const Tensor window =
      avg_pool2d(planes, {size, 1}, {.stride = {1}, .padding = {(size - 1) / 2, size / 2, 0, 0}});
  const double alpha = c.number("alpha", 1e-4), beta = c.number("beta", 0.75), bias = c.number("bias", 1.0);
  return x / pow(reshape(window, shape) * alpha + bias, beta);
}

Tensor mean_variance_normalised(Context& c) {
  const Tensor x = c.in(0);
  const Ints axes = axes_of(c, c.ints("axes", {0, 2, 3}), x.rank());
  const Tensor center = x - mean(x, axes, true);
  return center / (sqrt(mean(square(center), axes, true)) + 1e-9);
}

Tensor lp_normalised(Context& c) {
  const Tensor x = c.in(0);
  const int64_t axis = axis_of(c, c.integer("axis", -1), x.rank()), p = c.integer("p", 2);
  if (p != 1 && p != 2) c.invalid("p is " + std::to_string(p));
  const Tensor norm = p == 1 ? sum(abs(x), {axis}, true) : sqrt(sum(square(x), {axis}, true));
  return where(equal(norm, 0), 0.0, x / where(equal(norm, 0), 1.0, norm));
}

}  // namespace

FOVEA_ONNX(LayerNormalization) { return layer_normalised(c); }
FOVEA_ONNX(RMSNormalization) { return {rms_normalised(c)}; }
FOVEA_ONNX(SimplifiedLayerNormalization) { return {rms_normalised(c)}; }
FOVEA_ONNX(BatchNormalization) { return batch_normalised(c); }
FOVEA_ONNX(InstanceNormalization) {
  const Tensor x = c.in(0);
  return {
      instance_norm(x, parameter(c, 1, x.dtype()), parameter(c, 2, x.dtype()), c.number("epsilon", 1e-5))};
}
FOVEA_ONNX(GroupNormalization) { return {group_normalised(c)}; }
FOVEA_ONNX(LRN) { return {local_response(c)}; }
FOVEA_ONNX(MeanVarianceNormalization) { return {mean_variance_normalised(c)}; }
FOVEA_ONNX(LpNormalization) { return {lp_normalised(c)}; }

}  // namespace fovea::onnx
