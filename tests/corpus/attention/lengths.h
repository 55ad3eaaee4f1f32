// Forms with a guard against NaN, and sequences of several lengths.
#pragma once

#include "tests/corpus/attention/forms.h"

namespace fovea::corpus {

inline Tensor guarded(const Tensor& p) { return where(is_nan(p), 0.0, p); }

/// Arguments q, k, v and the number of keys of each sequence.
inline const auto kLengths = qkv_and([](const Sizes& s) { return Specs{{DType::i64, {s.b, 1, 1, 1}}}; });
inline Tensor keep(const Ts& x) { return iota({1, x[1].dim(2)}, 1) < x[3]; }
/// The last key of every row is masked, in the first sequence all are.
inline void lengths(std::vector<Array>& in) {
  for (int64_t b = 0; b < in[3].size(); ++b)
    in[3].set_flat(b, b == 0 ? 0 : static_cast<double>(in[1].shape()[2] - 1));
}

}  // namespace fovea::corpus
