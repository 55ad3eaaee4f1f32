#include "frontends/nn/transformer.h"

#include "framework/base/error.h"
#include "ops/core/add/add.h"

namespace fovea::nn {

TransformerLayer::TransformerLayer(const TransformerOptions& o, bool cross)
    : norm1(o.dim),
      attn(o.dim, o.heads, o.dropout),
      norm2(o.dim),
      cross_attn(o.dim, o.heads, o.dropout),
      norm3(o.dim),
      up(o.dim, o.hidden),
      down(o.hidden, o.dim),
      cross_(cross),
      norm_first_(o.norm_first),
      act_(o.activation),
      drop_(o.dropout) {
  add("norm1", norm1);
  add("attn", attn);
  if (cross) {
    add("norm2", norm2);
    add("cross_attn", cross_attn);
  }
  add("norm3", norm3);
  add("up", up);
  add("down", down);
  add("act", act_);
  add("drop", drop_);
}

template <class F>
Tensor TransformerLayer::residual(const Tensor& x, const LayerNorm& norm, F f) const {
  return norm_first_ ? x + drop_(f(norm(x))) : norm(x + drop_(f(x)));
}

Tensor TransformerLayer::perceptron(const Tensor& x) const {
  return residual(x, norm3, [&](const Tensor& y) { return down(drop_(act_(up(y)))); });
}

Tensor TransformerLayer::operator()(const Arg& x, const Attend& self, const Tensor& memory,
                                    const Tensor& memory_mask) const {
  const ModuleScope scope(*this, x.source);
  if (cross_ && !memory.defined())
    invalid("a transformer layer with cross attention was called without a memory");
  Tensor y = residual(x.tensor, norm1, [&](const Tensor& t) { return attn(t, {}, self); });
  if (cross_)
    y = residual(y, norm2, [&](const Tensor& t) {
      return cross_attn(t, memory, {.mask = memory_mask, .causal = false, .offset = {}});
    });
  return perceptron(y);
}

Tensor TransformerLayer::step(const Arg& x, KeyValue& cache, const Tensor& position, const KeyValue& memory,
                              const Tensor& memory_mask) const {
  const ModuleScope scope(*this, x.source);
  if (cross_ && !memory.keys.defined())
    invalid("a transformer layer with cross attention was called without a memory");
  Tensor y = residual(x.tensor, norm1, [&](const Tensor& t) { return attn.step(t, cache, position); });
  if (cross_)
    y = residual(y, norm2, [&](const Tensor& t) {
      return cross_attn.over(t, memory, {.mask = memory_mask, .causal = false, .offset = {}}).output;
    });
  return perceptron(y);
}

}  // namespace fovea::nn
