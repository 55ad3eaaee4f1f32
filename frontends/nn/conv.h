// Convolution layers, channels first.
#pragma once

#include "frontends/nn/module_scope.h"

namespace fovea::nn {

/// Stride, padding, dilation, groups and bias of a convolution layer.
struct ConvOptions {
  int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
  bool bias = true;
};

/// x [B, in, L] -> [B, out, L'], weight [out, in / groups, kernel]. L' = (L + 2 padding - dilation (kernel -
/// 1) - 1) / stride + 1, rounded down. Weights and bias start even over +-1 / sqrt(in / groups * kernel).
class Conv1d : public Module {
 public:
  Conv1d(int64_t in, int64_t out, int64_t kernel, ConvOptions options = {});
  Tensor operator()(const Arg& x) const;

  Parameter weight, bias;

 private:
  ConvOptions o_;
};

/// x [B, in, H, W] -> [B, out, H', W'], weight [out, in / groups, kernel, kernel]; sizes as Conv1d.
class Conv2d : public Module {
 public:
  Conv2d(int64_t in, int64_t out, int64_t kernel, ConvOptions options = {});
  Tensor operator()(const Arg& x) const;

  Parameter weight, bias;

 private:
  ConvOptions o_;
};

/// The adjoint of Conv2d with the same options: x [B, in, H, W] -> [B, out, H', W'] with
/// H' = (H - 1) stride - 2 padding + dilation (kernel - 1) + 1 + output_padding, weight [in, out / groups,
/// kernel, kernel]. Its start is that of a convolution whose fan-in is out / groups * kernel^2, as in
/// PyTorch.
class ConvTranspose2d : public Module {
 public:
  ConvTranspose2d(int64_t in, int64_t out, int64_t kernel, ConvOptions options = {},
                  int64_t output_padding = 0);
  Tensor operator()(const Arg& x) const;

  Parameter weight, bias;

 private:
  ConvOptions o_;
  int64_t output_padding_;
};

}  // namespace fovea::nn
