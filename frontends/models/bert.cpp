#include "frontends/models/bert.h"

#include "frontends/models/parts.h"

namespace fovea::models {

using nn::ModuleScope;

Bert::Bert(const BertConfig& c) : TokenTransformer(c), config_(c) {}

Tensor Bert::encode(const Arg& ids, const Tensor& keep) const {
  const ModuleScope scope(*this, ids.source);
  Tensor x = embedded("Bert", ids);
  const nn::Attend attend{.mask = key_mask(keep), .causal = false, .offset = {}};
  for (const auto& block : blocks) x = block(x, attend);
  return norm(x);
}

Tensor Bert::operator()(const Arg& ids, const Tensor& keep) const {
  const ModuleScope scope(*this, ids.source);
  return tok.logits(encode(ids, keep));
}

}  // namespace fovea::models
