#include "frontends/nn/linear.h"

#include "frontends/nn/check.h"
#include "frontends/nn/init.h"
#include "ops/composite/embedding/embedding.h"
#include "ops/composite/linear/linear.h"

namespace fovea::nn {

Linear::Linear(int64_t in, int64_t out, bool with_bias)
    : weight({at_least(1, out, "Linear: out"), at_least(1, in, "Linear: in")}, init::fan_in_uniform(in)) {
  if (with_bias) bias = Parameter({out}, init::fan_in_uniform(in));
  add("weight", weight);
  add("bias", bias);
}

Tensor Linear::operator()(const Arg& x) const {
  const ModuleScope scope(*this, x.source);
  return linear(x, weight, tensor_or_none(bias));
}

Embedding::Embedding(int64_t count, int64_t dim) : Embedding(count, dim, init::normal()) {}
Embedding::Embedding(int64_t count, int64_t dim, Initialiser init, int64_t padding)
    : weight({at_least(1, count, "Embedding: count"), at_least(1, dim, "Embedding: dim")}, std::move(init)),
      padding_(padding) {
  add("weight", weight);
}

Tensor Embedding::operator()(const Arg& ids) const {
  const ModuleScope scope(*this, ids.source);
  return embedding(Arg(weight.tensor(), ids.source), to_tensor(ids, DType::i64), padding_);
}

Tensor Embedding::logits(const Arg& x) const {
  const ModuleScope scope(*this, x.source);
  return linear(x, weight);
}

}  // namespace fovea::nn
