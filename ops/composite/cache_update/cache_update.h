#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// `cache` with `updates` in place of its elements position, position + 1, ... along `axis`. `position` is an
/// integer scalar that may be known only at run time; entries outside the axis are an error. In compiled code
/// the cache's own memory is written where nothing else needs it: a key/value cache that grows costs only
/// what is added.
Tensor cache_update(const Arg& cache, const Tensor& updates, const Tensor& position, int64_t axis);

}  // namespace fovea
