// What the tests of ops share: random operands, running one op on a backend, and gradients against
// differences.
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

/// Random operands for a sample; floating ones in f64.
std::vector<Array> operands_of(const Sample& sample, int seed);
/// First and second derivatives of every sample of `op` against central differences in fp64, on both
/// backends. Returns how many samples had a gradient to check.
int check_gradients(const std::string& op);
/// Every sample on the cpu backend in f32, f64 and bf16 against the reference backend in f64; every error
/// sample.
void check_samples(const std::string& op);

// -------------------------------------------------------------------------------------------------

inline std::vector<Array> operands_of(const Sample& sample, int seed) {
  std::vector<Array> out;
  std::mt19937 random(static_cast<unsigned>(seed));
  for (const In& in : sample.in) {
    Array a(DType::f64, in.shape);
    std::uniform_real_distribution<double> uniform(in.low, in.high);
    if (in.distinct) {  // evenly spaced in random order
      std::vector<int64_t> order(a.size());
      for (int64_t i = 0; i < a.size(); ++i) order[i] = i;
      std::shuffle(order.begin(), order.end(), random);
      for (int64_t i = 0; i < a.size(); ++i)
        a.set_flat(i, in.low + (in.high - in.low) * (static_cast<double>(order[i]) + 0.5) /
                                   static_cast<double>(a.size()));
    } else {
      for (int64_t i = 0; i < a.size(); ++i)
        a.set_flat(i, is_floating(in.type) ? uniform(random) : std::floor(uniform(random)));
    }
    out.push_back(is_floating(in.type) ? a : a.cast(in.type));
  }
  return out;
}

/// f (one op), g = its gradients for given cotangents, h = the gradients of g for given cotangents.
struct Derivatives {
  std::shared_ptr<Module> module = std::make_shared<Module>();
  std::vector<TensorType> in, out, first_out;
  Ints wrt, seeds;

  Derivatives(const std::string& op, const std::vector<Array>& operands, const Attrs& attrs) {
    in = types_of(operands);
    auto f = Builder::make(module, "f");
    const auto ys = f->add(find_op(op), inputs(*f, in), attrs, {});
    for (size_t i = 0; i < ys.size(); ++i) {
      f->output("", ys[i]);
      out.push_back(ys[i].type());
      if (is_floating(ys[i].dtype())) seeds.push_back(static_cast<int64_t>(i));
    }
    f->finish();
    for (size_t i = 0; i < in.size(); ++i)
      if (is_floating(in[i].dtype)) wrt.push_back(static_cast<int64_t>(i));
    // g(x..., w...) -> dx...
    auto g = Builder::make(module, "g");
    std::vector<TensorType> g_in = in;
    for (int64_t s : seeds) g_in.push_back(out[s]);
    const auto gs = g->add(find_op("vjp"), inputs(*g, g_in),
                           {{"function", FunctionRef{"f"}}, {"wrt", wrt}, {"seeds", seeds}}, {});
    Ints all;
    for (size_t i = out.size(); i < gs.size(); ++i) {
      g->output("", gs[i]);
      first_out.push_back(gs[i].type());
      all.push_back(static_cast<int64_t>(all.size()));
    }
    g->finish();
    // h(x..., w..., v...) -> derivative of sum(v dx) for x
    auto h = Builder::make(module, "h");
    std::vector<TensorType> h_in = g_in;
    for (const TensorType& t : first_out) h_in.push_back(t);
    const auto hs = h->add(find_op("vjp"), inputs(*h, h_in),
                           {{"function", FunctionRef{"g"}}, {"wrt", wrt}, {"seeds", all}}, {});
    for (size_t i = first_out.size(); i < hs.size(); ++i) h->output("", hs[i]);
    h->finish();
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

inline double dot(const Array& a, const Array& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.size(); ++i) sum += a.get_flat(i) * b.get_flat(i);
  return sum;
}

// d sum_i <value_i(x), weights_i> / dx against `gradients`, one direction per element.
inline void expect_slopes(const std::function<std::vector<Array>(const std::vector<Array>&)>& value,
                          const std::vector<Array>& x, const Ints& wrt, const std::vector<Array>& weights,
                          const std::vector<Array>& gradients, const std::string& what) {
  const double step = 1e-5;
  const auto total = [&](const std::vector<Array>& at) {
    const auto y = value(at);
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += dot(y[i], weights[i]);
    return sum;
  };
  ASSERT_EQ(gradients.size(), wrt.size()) << what;
  for (size_t k = 0; k < wrt.size(); ++k)
    for (int64_t i = 0; i < x[wrt[k]].size(); ++i) {
      std::vector<Array> up = x, down = x;
      up[wrt[k]] = x[wrt[k]].copy();
      down[wrt[k]] = x[wrt[k]].copy();
      up[wrt[k]].set_flat(i, x[wrt[k]].get_flat(i) + step);
      down[wrt[k]].set_flat(i, x[wrt[k]].get_flat(i) - step);
      const double slope = (total(up) - total(down)) / (2 * step);
      ASSERT_NEAR(gradients[k].get_flat(i), slope, 1e-6 * (1 + std::abs(slope)))
          << what << ", operand " << wrt[k] << " [" << i << "]";
    }
}

inline int check_gradients(const std::string& op) {
  const OpDecl& decl = find_op(op);
  if (!decl.is_differentiable()) return 0;
  int number = 0, checked = 0;
  for (const Sample& sample : decl.samples()) {
    const std::string what = op + ", sample " + std::to_string(number++);
    SCOPED_TRACE(what);
    const auto x = operands_of(sample, 7 + number);
    bool any = false;
    for (const Array& a : x) any = any || is_floating(a.dtype());
    if (!any) continue;
    const Derivatives d(op, x, sample.attrs);
    if (d.seeds.empty()) continue;
    std::vector<Array> w, v;
    for (int64_t s : d.seeds)
      w.push_back(random_array(evaluate(d.out[s].shape, {}), 100 + number, DType::f64));
    for (const TensorType& t : d.first_out)
      v.push_back(random_array(evaluate(t.shape, {}), 200 + number, DType::f64));
    const auto with = [](std::vector<Array> a, const std::vector<Array>& b) {
      a.insert(a.end(), b.begin(), b.end());
      return a;
    };
    const auto f = [&](const std::vector<Array>& at) {
      const auto all = d.run("f", at, "reference");
      std::vector<Array> y;
      for (int64_t s : d.seeds) y.push_back(all[s]);
      return y;
    };
    const auto g = [&](const std::vector<Array>& at) { return d.run("g", with(at, w), "reference"); };
    for (const char* backend : {"reference", "cpu"}) {
      expect_slopes(f, x, d.wrt, w, d.run("g", with(x, w), backend), what + " first " + backend);
      expect_slopes(g, x, d.wrt, v, d.run("h", with(with(x, w), v), backend), what + " second " + backend);
    }
    ++checked;
  }
  return checked;
}

inline void check_samples(const std::string& op) {
  const OpDecl& decl = find_op(op);
  ASSERT_FALSE(decl.samples().empty()) << op;
  int number = 0;
  for (const Sample& sample : decl.samples()) {
    const std::string what = op + ", sample " + std::to_string(number++);
    const auto exact = operands_of(sample, 40 + number);
    bool floating = false;
    for (const Array& a : exact) floating = floating || is_floating(a.dtype());
    for (DType dtype : {DType::f32, DType::f64, DType::bf16}) {
      if (!floating && dtype != DType::f32) continue;
      std::vector<Array> x, rounded;
      for (const Array& a : exact) {
        x.push_back(is_floating(a.dtype()) ? a.cast(dtype) : a);
        rounded.push_back(is_floating(a.dtype()) ? x.back().cast(DType::f64) : a);
      }
      const auto want = run_op_on("reference", op, rounded, sample.attrs);
      for (const char* backend : {"cpu", "reference"}) {
        const auto got = run_op_on(backend, op, x, sample.attrs);
        ASSERT_EQ(got.size(), want.size()) << what;
        const double tolerance = dtype == DType::f64 ? 1e-12 : dtype == DType::f32 ? 2e-6 : 3e-2;
        for (size_t i = 0; i < got.size(); ++i)
          expect_values(got[i], want[i].shape(), want[i].to_vector<double>(), tolerance,
                        what + " " + std::string(to_string(dtype)) + " " + backend);
      }
    }
  }
  for (const Sample& sample : decl.error_samples()) {
    std::vector<TensorType> types;
    for (const In& in : sample.in) types.push_back({in.type, to_shape(in.shape)});
    Attrs attrs = sample.attrs;
    expect_error([&] { decl.check(attrs, types, nullptr, nullptr); }, sample.error);
  }
}

}  // namespace fovea::test
