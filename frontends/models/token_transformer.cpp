#include "frontends/models/token_transformer.h"

#include "framework/base/error.h"
#include "frontends/nn/init.h"
#include "frontends/nn/positions.h"
#include "ops/core/add/add.h"

namespace fovea::models {

TokenTransformer::TokenTransformer(int64_t vocab, int64_t length, int64_t layers,
                                   const nn::TransformerOptions& block)
    : tok(vocab, block.dim, nn::init::normal(0.02)),
      pos(length, block.dim, nn::init::normal(0.02)),
      norm(block.dim) {
  for (int64_t i = 0; i < layers; ++i) blocks.push_back(nn::TransformerEncoderLayer(block));
  add("tok", tok);
  add("pos", pos);
  add("blocks", blocks);
  add("norm", norm);
}

Tensor TokenTransformer::embedded(const char* model, const Arg& ids, const Tensor& position) const {
  if (ids.tensor.rank() != 2)
    invalid(std::string(model) + ": token ids are [batch, length], got " + to_string(ids.tensor.shape()));
  return tok(ids) + nn::position_rows(pos.weight, ids.tensor.dim(1), position);
}

}  // namespace fovea::models
