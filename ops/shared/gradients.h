// What gradient rules are written with: arithmetic on tensors, and the way back through broadcasting.
#pragma once

#include "graph/ir/op.h"
#include "ops/core/add/add.h"
#include "ops/core/div/div.h"
#include "ops/core/mul/mul.h"
#include "ops/core/neg/neg.h"
#include "ops/core/sub/sub.h"

namespace fovea {

/// The gradient of an operand that was broadcast: `g`, of the result's shape, summed over the axes that
/// `like` lacks or has with size 1.
Tensor reduce_to(const Tensor& g, const Tensor& like);

/// reduce_to, or no tensor where the gradient of input i is not wanted; `g` is called only where it is.
template <class F>
Tensor reduce_if_needed(const GradArgs& a, size_t i, F&& g) {
  return a.needs[i] ? reduce_to(g(), a.in[i]) : Tensor();
}

}  // namespace fovea
