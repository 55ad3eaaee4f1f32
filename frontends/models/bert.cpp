#include "frontends/models/bert.h"

#include "framework/base/error.h"
#include "frontends/models/parts.h"
#include "frontends/nn/init.h"
#include "frontends/nn/positions.h"
#include "ops/core/add/add.h"

namespace fovea::models {

using nn::ModuleScope;

Bert::Bert(const BertConfig& c)
    : tok(c.vocab, c.dim, nn::init::normal(0.02)),
      pos(c.length, c.dim, nn::init::normal(0.02)),
      norm(c.dim),
      config_(c) {
  for (int64_t i = 0; i < c.layers; ++i)
    blocks.push_back(nn::TransformerEncoderLayer({c.dim, c.heads, 4 * c.dim, c.dropout, "gelu", true}));
  add("tok", tok);
  add("pos", pos);
  add("blocks", blocks);
  add("norm", norm);
}

Tensor Bert::encode(const Arg& ids, const Tensor& keep) const {
  const ModuleScope scope(*this, ids.source);
  if (ids.tensor.rank() != 2)
    invalid("Bert: token ids are [batch, length], got " + to_string(ids.tensor.shape()));
  Tensor x = tok(ids) + nn::position_rows(pos.weight, ids.tensor.dim(1));
  const nn::Attend attend{.mask = key_mask(keep), .causal = false, .offset = {}};
  for (const auto& block : blocks) x = block(x, attend);
  return norm(x);
}

Tensor Bert::operator()(const Arg& ids, const Tensor& keep) const {
  const ModuleScope scope(*this, ids.source);
  return tok.logits(encode(ids, keep));
}

}  // namespace fovea::models
