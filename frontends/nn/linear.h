// Layers that are one table or one matrix.
#pragma once

#include "frontends/nn/module_scope.h"

namespace fovea::nn {

/// The tensor of a parameter that may be left out.
inline Tensor tensor_or_none(const Parameter& p) { return p.defined() ? p.tensor() : Tensor(); }

/// y = x weight^T + bias: x [..., in] -> [..., out], weight [out, in], bias [out]. Both start even over +-1 /
/// sqrt(in).
class Linear : public Module {
 public:
  Linear(int64_t in, int64_t out, bool bias = true);
  Tensor operator()(const Arg& x) const;

  Parameter weight, bias;  ///< bias is undefined where the layer has none
};

/// Rows of a table: ids (integers of any shape) -> [..., dim], weight [count, dim], which starts as N(0, 1).
/// An id outside [0, count) is an error.
class Embedding : public Module {
 public:
  Embedding(int64_t count, int64_t dim);
  /// `padding`: an id whose row gets no gradient; -1 for none.
  Embedding(int64_t count, int64_t dim, Initialiser init, int64_t padding = -1);
  Tensor operator()(const Arg& ids) const;
  /// The same table as the last layer of a language model (Press and Wolf 2017): x [..., dim] -> [...,
  /// count].
  Tensor logits(const Arg& x) const;

  Parameter weight;

 private:
  int64_t padding_ = -1;
};

}  // namespace fovea::nn
