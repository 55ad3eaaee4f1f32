// What the tests of pointwise ops share: operands, one op on the reference backend, tolerances, kernels that
// run.
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
#include "graph/build/builder.h"
#include "optim/lower/program.h"

namespace fovea::test {

inline constexpr double kInf = std::numeric_limits<double>::infinity();
inline const double kNan = std::nan("");

inline Array random_array(DType dtype, Dims shape, double low, double high, int seed) {
  std::mt19937 random(static_cast<unsigned>(seed));
  std::uniform_real_distribution<double> uniform(low, high);
  Array a(DType::f64, std::move(shape));
  for (int64_t i = 0; i < a.size(); ++i) a.set_flat(i, uniform(random));
  return a.cast(dtype);
}

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
  auto module = std::make_shared<Module>();
  auto builder = Builder::make(module, "f");
  std::vector<Tensor> args;
  for (const Array& a : in) args.push_back(builder->input("", {a.dtype(), to_shape(a.shape())}));
  builder->output("", builder->add(find_op(op), args, attrs, {})[0]);
  builder->finish();
  Program program(module, "f");
  std::vector<std::string> names;
  for (const PlanStep& s : program.plan(in)->steps) names.push_back(s.op + "/" + s.kernel);
  return names;
}

inline Array run_reference(const std::string& op, const std::vector<Array>& in, const Attrs& attrs = {}) {
  auto module = std::make_shared<Module>();
  auto builder = Builder::make(module, "f");
  std::vector<Tensor> args;
  for (const Array& a : in) args.push_back(builder->input("", {a.dtype(), to_shape(a.shape())}));
  builder->output("", builder->add(find_op(op), args, attrs, {})[0]);
  builder->finish();
  CompileOptions options;
  options.backend = "reference";
  return Program(module, "f", options).run(in)[0];
}

}  // namespace fovea::test
