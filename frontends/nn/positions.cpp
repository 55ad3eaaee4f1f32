#include "frontends/nn/positions.h"

#include <cmath>

#include "frontends/nn/check.h"
#include "frontends/nn/init.h"
#include "ops/core/add/add.h"
#include "ops/core/gather/gather.h"
#include "ops/core/iota/iota.h"
#include "ops/core/slice/slice.h"

namespace fovea::nn {

Array sinusoid(int64_t length, int64_t dim) {
  at_least(1, length, "sinusoid: length");
  if (at_least(2, dim, "sinusoid: dim") % 2 != 0)
    invalid("sinusoid: dim is " + std::to_string(dim) + ", it must be even");
  Array table(DType::f32, {length, dim});
  float* out = table.data<float>();
  for (int64_t p = 0; p < length; ++p)
    for (int64_t i = 0; i < dim; i += 2) {
      const double angle = static_cast<double>(p) *
                           std::exp(-std::log(10000.0) * static_cast<double>(i) / static_cast<double>(dim));
      *out++ = static_cast<float>(std::sin(angle));
      *out++ = static_cast<float>(std::cos(angle));
    }
  return table;
}

Parameter sinusoid_buffer(int64_t length, int64_t dim) {
  return Parameter(
      {length, dim},
      [](DType dtype, const Dims& shape, uint64_t) { return sinusoid(shape[0], shape[1]).cast(dtype); },
      /*trainable=*/false);
}

Tensor position_rows(const Tensor& table, const Dim& count, const Tensor& first) {
  if (!first.defined()) return slice(table, 0, 0, count);
  return gather(table, arange(count, first.dtype()) + first);
}

LearnedPositions::LearnedPositions(int64_t length, int64_t dim, double std)
    : weight({at_least(1, length, "LearnedPositions: length"), at_least(1, dim, "LearnedPositions: dim")},
             init::normal(std)) {
  add("weight", weight);
}

Tensor LearnedPositions::operator()(const Arg& x) const {
  const ModuleScope scope(*this, x.source);
  const Tensor t = to_tensor(x, DType::f32);
  return t + position_rows(weight, t.dim(-2));
}

}  // namespace fovea::nn
