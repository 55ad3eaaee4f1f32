#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// decay average + (1 - decay) value: one step of an exponential moving average. decay in [0, 1].
Tensor ema_update(const Tensor& average, const Tensor& value, double decay, Source source = Source::here());

}  // namespace fovea
