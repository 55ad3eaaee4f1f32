// Where a token stands in its sequence.
#pragma once

#include "frontends/nn/module_scope.h"

namespace fovea::nn {

/// Sine and cosine positions (Vaswani et al. 2017), [length, dim], dim even: table[p, 2i] = sin(p w_i),
/// table[p, 2i + 1] = cos(p w_i), w_i = 10000^(-2i / dim).
Array sinusoid(int64_t length, int64_t dim);
/// A buffer that holds them.
Parameter sinusoid_buffer(int64_t length, int64_t dim);

/// Rows first, first + 1, ... of a table [length, dim]: as many as `count` says. `first`: i64 scalar, may be
/// undefined for 0.
Tensor position_rows(const Tensor& table, const Dim& count, const Tensor& first = {});

/// A trained table of positions (Gehring et al. 2017), added to x [..., L, dim]; L may be at most `length`.
class LearnedPositions : public Module {
 public:
  LearnedPositions(int64_t length, int64_t dim, double std = 0.02);
  Tensor operator()(const Arg& x) const;

  Parameter weight;
};

}  // namespace fovea::nn
