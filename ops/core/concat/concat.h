#pragma once

#include <vector>

#include "graph/build/tensor.h"

namespace fovea {

/// The tensors one behind the other along `axis`; all other sizes must agree. Types are promoted.
Tensor concat(const std::vector<Tensor>& parts, int64_t axis = 0, Source source = Source::here());
/// The tensors side by side along a new axis.
Tensor stack(const std::vector<Tensor>& parts, int64_t axis = 0, Source source = Source::here());
/// Elements moved by `shift` places along `axis`; those that leave come in at the other end.
Tensor roll(const Arg& x, int64_t shift, int64_t axis);
/// `x` repeated counts[d] times along axis d, as a whole.
Tensor tile(const Arg& x, std::vector<int64_t> counts);
/// Each element repeated `count` times along `axis`.
Tensor repeat(const Arg& x, int64_t count, int64_t axis);

}  // namespace fovea
