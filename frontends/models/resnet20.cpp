#include "frontends/models/resnet20.h"

#include "frontends/nn/activation.h"
#include "frontends/nn/norm.h"
#include "ops/composite/mean/mean.h"
#include "ops/composite/relu/relu.h"
#include "ops/core/add/add.h"

namespace fovea::models {
namespace {

nn::Conv2d conv(int64_t in, int64_t out, int64_t kernel, int64_t stride) {
  return nn::Conv2d(in, out, kernel, {.stride = stride, .padding = kernel / 2, .bias = false});
}

// Two convolutions and a shortcut, which is a 1x1 convolution where the channels change.
class Unit : public nn::Module {
 public:
  Unit(int64_t in, int64_t out, int64_t stride)
      : c1_(conv(in, out, 3, stride)), c2_(conv(out, out, 3, 1)), b1_(out), b2_(out), same_(in == out) {
    add("c1", c1_);
    add("b1", b1_);
    add("c2", c2_);
    add("b2", b2_);
    if (same_) return;
    short_ = nn::Sequential(conv(in, out, 1, stride), nn::BatchNorm2d(out));
    add("short", short_);
  }
  Tensor operator()(const Arg& x) const {
    const nn::ModuleScope scope(*this, x.source);
    const Tensor y = b2_(c2_(relu(b1_(c1_(x)))));
    return relu(y + (same_ ? x.tensor : short_(x)));
  }

 private:
  nn::Conv2d c1_, c2_;
  nn::BatchNorm2d b1_, b2_;
  nn::Sequential short_;
  bool same_;
};

}  // namespace

ResNet20::ResNet20(const ResNet20Config& c) : head(4 * c.width, c.classes) {
  net.push_back(conv(c.channels, c.width, 3, 1));
  net.push_back(nn::BatchNorm2d(c.width));
  net.push_back(nn::Relu());
  int64_t channels = c.width;
  for (int64_t stage = 0; stage < 3; ++stage)
    for (int64_t i = 0; i < c.units; ++i) {
      const int64_t width = c.width << stage;
      net.push_back(Unit(channels, width, stage > 0 && i == 0 ? 2 : 1));
      channels = width;
    }
  add("net", net);
  add("head", head);
}

Tensor ResNet20::operator()(const Arg& images) const {
  const nn::ModuleScope scope(*this, images.source);
  return head(mean(net(images), {2, 3}));
}

}  // namespace fovea::models
