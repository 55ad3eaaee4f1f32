// What the tests of ops share: random operands, running one op on a backend, comparing.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "graph/build/builder.h"
#include "graph/ir/op.h"
#include "optim/lower/program.h"

namespace fovea::test {

inline Array random_array(Dims shape, int seed, DType dtype = DType::f32, double low = -1, double high = 1) {
  std::mt19937 random(static_cast<unsigned>(seed));
  std::uniform_real_distribution<double> uniform(low, high);
  Array a(DType::f64, std::move(shape));
  for (int64_t i = 0; i < a.size(); ++i)
    a.set_flat(i, is_floating(dtype) ? uniform(random) : std::floor(uniform(random)));
  return a.cast(dtype);
}

/// A program of one op on arguments of these types.
inline Program program_of(const std::string& op, const std::vector<TensorType>& in, const Attrs& attrs,
                          const std::string& backend) {
  auto module = std::make_shared<Module>();
  auto builder = Builder::make(module, "f");
  std::vector<Tensor> args;
  for (const TensorType& t : in) args.push_back(builder->input("", t));
  for (const Tensor& y : builder->add(find_op(op), args, attrs, {})) builder->output("", y);
  builder->finish();
  CompileOptions options;
  options.backend = backend;
  return Program(module, "f", options);
}

inline std::vector<TensorType> types_of(const std::vector<Array>& in) {
  std::vector<TensorType> types;
  for (const Array& a : in) types.push_back({a.dtype(), to_shape(a.shape())});
  return types;
}

inline std::vector<Array> run_op_on(const std::string& backend, const std::string& op,
                                    const std::vector<Array>& in, const Attrs& attrs = {}) {
  return program_of(op, types_of(in), attrs, backend).run(in);
}

/// Result types of an op on operands that may have symbols: "f32[B, 4]".
inline std::vector<std::string> infer(const std::string& op, const std::vector<TensorType>& in,
                                      Attrs attrs = {}) {
  std::vector<std::string> out;
  for (const TensorType& t : find_op(op).check(attrs, in, nullptr, nullptr)) out.push_back(to_string(t));
  return out;
}

/// Calls f(index, i) for each position of `shape` in row-major order, i counting from 0.
inline void each_index(const Dims& shape, const std::function<void(const Dims&, int64_t)>& f) {
  Dims index(shape.size(), 0);
  int64_t n = 1;
  for (int64_t d : shape) n *= d;
  for (int64_t i = 0; i < n; ++i) {
    f(index, i);
    for (size_t d = shape.size(); d-- > 0;) {
      if (++index[d] < shape[d]) break;
      index[d] = 0;
    }
  }
}

inline int64_t flat(const Dims& shape, const Dims& index) {
  int64_t at = 0;
  for (size_t d = 0; d < shape.size(); ++d) at = at * shape[d] + index[d];
  return at;
}

inline void expect_values(const Array& got, const Dims& shape, const std::vector<double>& want,
                          double tolerance, const std::string& what) {
  ASSERT_EQ(got.shape(), shape) << what;
  ASSERT_EQ(got.size(), static_cast<int64_t>(want.size())) << what;
  for (int64_t i = 0; i < got.size(); ++i) {
    const double g = got.get_flat(i), w = want[i];
    if (std::isnan(w))
      ASSERT_TRUE(std::isnan(g)) << what << " [" << i << "] gave " << g;
    else if (std::isinf(w))
      ASSERT_EQ(g, w) << what << " [" << i << "]";
    else
      ASSERT_NEAR(g, w, tolerance * (1 + std::abs(w))) << what << " [" << i << "]";
  }
}

inline void expect_error(const std::function<void()>& f, const std::string& part) {
  try {
    f();
    ADD_FAILURE() << "no error; expected one with: " << part;
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what() << "\nexpected: " << part;
  }
}

/// Functions of a module: "f" is one op, "g" its gradients by the floating operands, given cotangents of its
/// floating results.
struct Derivatives {
  std::shared_ptr<Module> module = std::make_shared<Module>();
  std::vector<TensorType> in, out;

  Derivatives(const std::string& op, const std::vector<Array>& operands, const Attrs& attrs) {
    in = types_of(operands);
    Ints wrt, seeds;
    for (size_t i = 0; i < in.size(); ++i)
      if (is_floating(in[i].dtype)) wrt.push_back(static_cast<int64_t>(i));
    auto f = Builder::make(module, "f");
    for (const Tensor& y : f->add(find_op(op), inputs(*f, in), attrs, {})) {
      f->output("", y);
      if (is_floating(y.dtype())) seeds.push_back(static_cast<int64_t>(out.size()));
      out.push_back(y.type());
    }
    f->finish();
    auto g = Builder::make(module, "g");
    std::vector<TensorType> g_in = in;
    for (int64_t s : seeds) g_in.push_back(out[static_cast<size_t>(s)]);
    const auto all = g->add(find_op("vjp"), inputs(*g, g_in),
                            {{"function", FunctionRef{"f"}}, {"wrt", wrt}, {"seeds", seeds}}, {});
    for (size_t i = out.size(); i < all.size(); ++i) g->output("", all[i]);
    g->finish();
  }

  static std::vector<Tensor> inputs(Builder& b, const std::vector<TensorType>& types) {
    std::vector<Tensor> out;
    for (const TensorType& t : types) out.push_back(b.input("", t));
    return out;
  }
  std::vector<Array> run(const std::string& function, const std::vector<Array>& args,
                         const std::string& backend) const {
    CompileOptions options;
    options.backend = backend;
    return Program(module, function, options).run(args);
  }
};

}  // namespace fovea::test
