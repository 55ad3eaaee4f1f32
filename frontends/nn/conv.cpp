#include "frontends/nn/conv.h"

#include "frontends/nn/check.h"
#include "frontends/nn/init.h"
#include "frontends/nn/linear.h"
#include "ops/composite/conv2d/conv2d.h"
#include "ops/composite/conv_transpose2d/conv_transpose2d.h"

namespace fovea::nn {
namespace {

int64_t checked(const char* layer, int64_t in, int64_t out, int64_t kernel, const ConvOptions& o) {
  const std::string name = layer;
  at_least(1, in, name + ": in");
  at_least(1, out, name + ": out");
  at_least(1, o.stride, name + ": stride");
  at_least(0, o.padding, name + ": padding");
  at_least(1, o.dilation, name + ": dilation");
  at_least(1, o.groups, name + ": groups");
  if (in % o.groups != 0 || out % o.groups != 0)
    invalid(name + ": " + std::to_string(in) + " channels in and " + std::to_string(out) +
            " out do not divide into " + std::to_string(o.groups) + " groups");
  return at_least(1, kernel, name + ": kernel");
}

Conv2dOptions moves(const ConvOptions& o) { return {{o.stride}, {o.padding}, {o.dilation}, o.groups}; }

}  // namespace

Conv1d::Conv1d(int64_t in, int64_t out, int64_t kernel, ConvOptions options) : o_(options) {
  checked("Conv1d", in, out, kernel, o_);
  const Initialiser start = init::fan_in_uniform(in / o_.groups * kernel);
  add("weight", weight = Parameter({out, in / o_.groups, kernel}, start));
  if (o_.bias) add("bias", bias = Parameter({out}, start));
}

Tensor Conv1d::operator()(const Arg& x) const {
  const ModuleScope scope(*this, x.source);
  return conv1d(x, weight, tensor_or_none(bias), moves(o_));
}

Conv2d::Conv2d(int64_t in, int64_t out, int64_t kernel, ConvOptions options) : o_(options) {
  checked("Conv2d", in, out, kernel, o_);
  const Initialiser start = init::fan_in_uniform(in / o_.groups * kernel * kernel);
  add("weight", weight = Parameter({out, in / o_.groups, kernel, kernel}, start));
  if (o_.bias) add("bias", bias = Parameter({out}, start));
}

Tensor Conv2d::operator()(const Arg& x) const {
  const ModuleScope scope(*this, x.source);
  return conv2d(x, weight, tensor_or_none(bias), moves(o_));
}

ConvTranspose2d::ConvTranspose2d(int64_t in, int64_t out, int64_t kernel, ConvOptions options,
                                 int64_t output_padding)
    : o_(options), output_padding_(at_least(0, output_padding, "ConvTranspose2d: output_padding")) {
  checked("ConvTranspose2d", in, out, kernel, o_);
  const Initialiser start = init::fan_in_uniform(out / o_.groups * kernel * kernel);
  add("weight", weight = Parameter({in, out / o_.groups, kernel, kernel}, start));
  if (o_.bias) add("bias", bias = Parameter({out}, start));
}

Tensor ConvTranspose2d::operator()(const Arg& x) const {
  const ModuleScope scope(*this, x.source);
  return conv_transpose2d(x, weight, tensor_or_none(bias), moves(o_), {output_padding_});
}

}  // namespace fovea::nn
