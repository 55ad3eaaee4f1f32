#include "frontends/models/gru_translator.h"

#include "framework/base/error.h"
#include "frontends/cpp/control.h"
#include "ops/composite/unstack/unstack.h"
#include "ops/core/concat/concat.h"
#include "ops/core/permute/permute.h"
#include "ops/core/tanh/tanh.h"

namespace fovea::models {
namespace {

constexpr int64_t kUnrolled = 64;  // longer targets run through scan

}  // namespace

using nn::ModuleScope;

GruTranslator::GruTranslator(const GruTranslatorConfig& c)
    : src(c.vocab, c.dim),
      tgt(c.vocab, c.dim),
      encoder(c.dim, c.dim, {.layers = 1, .bidirectional = true}),
      bridge(c.dim, c.dim),
      attention(c.dim, 2 * c.dim, c.dim),
      cell(3 * c.dim, c.dim),
      out(4 * c.dim, c.vocab),
      config_(c) {
  add("src", src);
  add("tgt", tgt);
  add("encoder", encoder);
  add("bridge", bridge);
  add("wq", attention.wq);
  add("wk", attention.wk);
  add("score", attention.score);
  add("cell", cell);
  add("out", out);
}

GruTranslator::Encoded GruTranslator::encode(const Arg& ids) const {
  const ModuleScope scope(*this, ids.source);
  const nn::RecurrentResult r = encoder(src(ids));
  return {r.output, attention.wk(r.output), tanh(bridge(r.h[1]))};
}

Tensor GruTranslator::advance(const Tensor& x, const Tensor& memory, const Tensor& keys, Tensor& state,
                              const Tensor& keep, Tensor* weights) const {
  const nn::AttentionResult context = attention(state, keys, memory, keep);
  if (weights) *weights = context.weights;
  state = cell(concat({x, context.output}, -1), state);
  return concat({state, context.output, x}, -1);
}

Tensor GruTranslator::step(const Arg& tokens, const Tensor& memory, const Tensor& keys, Tensor& state,
                           const Tensor& keep, Tensor* weights) const {
  const ModuleScope scope(*this, tokens.source);
  return out(advance(tgt(tokens), memory, keys, state, keep, weights));
}

Tensor GruTranslator::operator()(const Arg& source, const Tensor& target, const Tensor& keep) const {
  const ModuleScope scope(*this, source.source);
  if (target.rank() != 2)
    invalid("GruTranslator: token ids are [batch, length], got " + to_string(target.shape()));
  const Encoded e = encode(source);
  const Tensor x = tgt(target);
  Tensor state = e.state;
  if (x.dim(1).is_const() && x.dim(1).value() >= 1 && x.dim(1).value() <= kUnrolled) {
    std::vector<Tensor> steps;
    for (const Tensor& at : unstack(x, 1))
      steps.push_back(advance(at, e.memory, e.keys, state, keep, nullptr));
    return out(stack(steps, 1));
  }
  auto body = [&](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    Tensor h = in[0];
    const Tensor y = advance(in[1], e.memory, e.keys, h, keep, nullptr);
    return {h, y};
  };
  return out(transpose(scan(body, {state}, {transpose(x, 0, 1)})[1], 0, 1));
}

}  // namespace fovea::models
