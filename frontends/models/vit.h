// Vision Transformer (Dosovitskiy et al. 2021): an image is a sequence of square patches behind a class
// token.
#pragma once

#include "frontends/nn/conv.h"
#include "frontends/nn/transformer.h"

namespace fovea::models {

/// Sizes of a Vit.
struct VitConfig {
  int64_t dim = 192, heads = 3, layers = 6, patch = 4, side = 28, channels = 1, classes = 10;
  double dropout = 0;
};

/// Vision Transformer (Dosovitskiy et al. 2020): image patches as tokens, a class token in front.
class Vit : public nn::Module {
 public:
  explicit Vit(const VitConfig& config = {});

  /// Images [B, channels, side, side] -> logits [B, classes].
  Tensor operator()(const Arg& images) const;

  const VitConfig& config() const { return config_; }
  nn::Conv2d patch;
  nn::Parameter cls, pos;
  nn::ModuleList<nn::TransformerLayer> blocks;
  nn::LayerNorm norm;
  nn::Linear head;

 private:
  VitConfig config_;
};

}  // namespace fovea::models
