// What tests of modules share.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "frontends/cpp/trace.h"
#include "frontends/nn/init.h"
#include "frontends/nn/module.h"
#include "tests/support/errors.h"

namespace fovea::test {

inline Array normal(Dims shape, uint64_t seed) {
  return nn::init::normal()(DType::f32, std::move(shape), seed);
}

inline Array ids(Dims shape, uint64_t seed, int64_t below) {
  const Array u = nn::init::uniform(0, 1)(DType::f64, shape, seed);
  Array out(DType::i64, std::move(shape));
  for (int64_t i = 0; i < out.size(); ++i)
    out.data<int64_t>()[i] = static_cast<int64_t>(u.get_flat(i) * static_cast<double>(below));
  return out;
}

inline void expect_near(const Array& got, const Array& want, double tolerance, const std::string& what = "") {
  ASSERT_EQ(got.shape(), want.shape()) << what;
  for (int64_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got.get_flat(i), want.get_flat(i), tolerance * (1 + std::abs(want.get_flat(i))))
        << what << " at " << i;
}
inline void expect_near(const Tensor& got, const Tensor& want, double tolerance,
                        const std::string& what = "") {
  expect_near(got.array(), want.array(), tolerance, what);
}

/// Runs fn traced on symbolic or concrete types.
inline std::vector<Array> run_traced(const Function& fn, const std::vector<Spec>& specs,
                                     const std::vector<Array>& in) {
  return Program(trace(fn, specs), "main").run(in);
}

}  // namespace fovea::test
