// ResNet-20 for small images (He et al. 2015, section 4.2): three stages of 16, 32 and 64 channels.
#pragma once

#include "frontends/nn/conv.h"
#include "frontends/nn/linear.h"
#include "frontends/nn/sequential.h"

namespace fovea::models {

/// Sizes of a ResNet20.
struct ResNet20Config {
  int64_t channels = 1, width = 16, units = 3, classes = 10;
};

/// Residual network for small images (He et al. 2015, section 4.2).
class ResNet20 : public nn::Module {
 public:
  explicit ResNet20(const ResNet20Config& config = {});

  /// Images [B, channels, H, W] -> logits [B, classes].
  Tensor operator()(const Arg& images) const;

  nn::Sequential net;
  nn::Linear head;
};

}  // namespace fovea::models
