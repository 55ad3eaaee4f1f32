// What the tests of pointwise ops share: tolerances, and kernels that run.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "generated/ops.h"
#include "tests/unit/ops_test_util.h"

namespace fovea::test {

inline constexpr double kInf = std::numeric_limits<double>::infinity();
inline const double kNan = std::nan("");

inline Array of(DType dtype, const std::vector<double>& values) {
  return Array::of(values, {static_cast<int64_t>(values.size())}).cast(dtype);
}

// Half an ulp for one rounding, and a little for functions; integers are exact.
inline double tolerance(DType dtype, double want) {
  const double unit = dtype == DType::f64    ? 1e-14
                      : dtype == DType::f32  ? 6e-7
                      : dtype == DType::f16  ? 1e-3
                      : dtype == DType::bf16 ? 8e-3
                                             : 0;
  const double least = dtype == DType::f64 ? 1e-300 : dtype == DType::f16 ? 6e-8 : 1e-37;
  return std::abs(want) * unit + (is_floating(dtype) ? least : 0);
}

inline void expect_value(double got, double want, DType dtype, double slack, const std::string& what) {
  if (std::isnan(want)) {
    EXPECT_TRUE(std::isnan(got)) << what << " gave " << got;
  } else if (std::isinf(want)) {
    EXPECT_EQ(got, want) << what;
  } else {
    EXPECT_NEAR(got, want, slack * tolerance(dtype, want)) << what;
  }
}

// The op's kernels in the order they are launched, "op/kernel".
inline std::vector<std::string> kernels(const std::string& op, const std::vector<Array>& in,
                                        const Attrs& attrs = {}) {
  std::vector<std::string> names;
  Program program = program_of(op, types_of(in), attrs, "cpu");
  for (const PlanStep& s : program.plan(in)->steps) names.push_back(s.op + "/" + s.kernel);
  return names;
}

inline Array run_reference(const std::string& op, const std::vector<Array>& in, const Attrs& attrs = {}) {
  return run_op_on("reference", op, in, attrs)[0];
}

}  // namespace fovea::test
