#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// x [N, C, ...] normalised over each of `groups` equal groups of channels of each sample, then scaled and
/// shifted by channel (Wu and He 2018). gamma and beta are [C]; either may be undefined. C must be known and
/// divisible by groups.
Tensor group_norm(const Arg& x, int64_t groups, const Tensor& gamma = {}, const Tensor& beta = {},
                  double eps = 1e-5);

/// Group norm with one group a channel (Ulyanov, Vedaldi and Lempitsky 2016).
Tensor instance_norm(const Arg& x, const Tensor& gamma = {}, const Tensor& beta = {}, double eps = 1e-5);

}  // namespace fovea
