// Walking a strided view in row-major order.
#pragma once

#include <cstddef>

#include "framework/base/checked.h"
#include "framework/tensor/dim.h"

namespace fovea {

/// The dims that matter for a walk: at least one, size-1 dims dropped, neighbours that form one evenly spaced
/// run merged.
struct Runs {
  Dims shape, strides;
};

/// The runs of a view that has no size 0.
inline Runs merge_dims(const Dims& shape, const Dims& strides) {
  Runs r;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    int64_t span = 0;
    if (!r.shape.empty() && !__builtin_mul_overflow(strides[i], shape[i], &span) &&
        r.strides.back() == span) {
      r.shape.back() = checked_mul(r.shape.back(), shape[i], "the number of elements");
      r.strides.back() = strides[i];
    } else {
      r.shape.push_back(shape[i]);
      r.strides.push_back(strides[i]);
    }
  }
  if (r.shape.empty()) r = {{1}, {1}};
  return r;
}

/// Calls f(source offset, row-major position) at each position of the dims outside the last `inner_dims`.
template <class F>
void for_each_run(const Runs& r, size_t inner_dims, F&& f) {
  const size_t outer = r.shape.size() - inner_dims;
  int64_t step = 1;
  for (size_t d = outer; d < r.shape.size(); ++d) step *= r.shape[d];
  Dims index(outer, 0);
  int64_t from = 0, to = 0;
  for (;;) {
    f(from, to);
    to += step;
    size_t d = outer;
    while (d > 0 && ++index[d - 1] == r.shape[d - 1]) {
      from -= r.strides[d - 1] * (r.shape[d - 1] - 1);
      index[--d] = 0;
    }
    if (d == 0) return;
    from += r.strides[d - 1];
  }
}

}  // namespace fovea
