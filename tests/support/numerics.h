// The contract on numerics: a fused result's error against fp64, its maximum and its root mean square, is at
// most twice that of the user's own operations in the user's type, plus four units in the last place of the
// tensor's largest value.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "framework/tensor/array.h"

namespace fovea::test {

struct Errors {
  double most = 0, squares = 0, largest = 0;
  int64_t count = 0;
  double mean() const { return std::sqrt(squares / std::max<double>(1, static_cast<double>(count))); }
};

/// Of `got` against `exact`. Elements that are finite in both the exact and the unfused result count.
inline Errors errors_of(const Array& got, const Array& exact, const Array& unfused) {
  Errors e;
  for (int64_t i = 0; i < exact.size(); ++i) {
    const double want = exact.get_flat(i);
    if (!std::isfinite(want) || !std::isfinite(unfused.get_flat(i))) continue;
    const double off = std::abs(got.get_flat(i) - want);
    e.most = off <= e.most ? e.most : off;  // NaN stays
    e.squares += off * off;
    e.largest = std::max(e.largest, std::abs(want));
    ++e.count;
  }
  return e;
}

/// Expects the contract of an f32 result. `noise`: what is added to the four units, for tensors that are all
/// cancellation.
inline void expect_contract(const Array& got, const Array& exact, const Array& unfused,
                            const std::string& what, double noise = 0) {
  ASSERT_EQ(got.shape(), exact.shape()) << what;
  ASSERT_EQ(got.shape(), unfused.shape()) << what;
  const Errors ours = errors_of(got, exact, unfused), theirs = errors_of(unfused, exact, unfused);
  const double allowed = 4 * 0x1p-23 * ours.largest + noise;
  EXPECT_LE(ours.most, 2 * theirs.most + allowed) << what << ", largest value " << ours.largest;
  EXPECT_LE(ours.mean(), 2 * theirs.mean() + allowed) << what << ", root mean square";
}

}  // namespace fovea::test
