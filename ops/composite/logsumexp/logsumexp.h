#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// log(sum(exp(x))) over `axes` (all of them where empty) without overflow. Only -inf: -inf, with gradient 0.
Tensor logsumexp(const Arg& x, std::vector<int64_t> axes = {}, bool keepdims = false);

}  // namespace fovea
