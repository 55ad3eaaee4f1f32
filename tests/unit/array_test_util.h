// What the tests of arrays share.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "framework/tensor/array.h"

namespace fovea::test {

using Ints = std::vector<int64_t>;

inline constexpr int64_t kHuge = int64_t{1} << 62;
inline constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
inline constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
inline constexpr double kInf = std::numeric_limits<double>::infinity();
inline const DType kAll[] = {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i8,
                             DType::i16, DType::i32, DType::i64, DType::u8,   DType::boolean};

template <class F>
void expect_error(ErrorKind kind, F&& f, const std::string& part) {
  try {
    f();
    FAIL() << "no error; expected one with: " << part;
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind);
    EXPECT_NE(e.message().find(part), std::string::npos) << e.message();
  }
}

template <class F>
void expect_invalid(F&& f, const std::string& part) {
  expect_error(ErrorKind::InvalidArgument, f, part);
}

// 0, 1, 2, ... in row-major order.
inline Array range(Dims shape) {
  Ints values(static_cast<size_t>(product(shape)));
  std::iota(values.begin(), values.end(), 0);
  return Array::of(values, std::move(shape));
}

inline Ints ints(const Array& a) { return a.to_vector<int64_t>(); }

}  // namespace fovea::test
