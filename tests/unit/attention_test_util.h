// Cases for tests of attention: programs, operands, and both passes on a backend.
#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "ops/composite/attention/attention.h"
#include "ops/composite/attention/spec_internal.h"
#include "tests/unit/ops_test_util.h"

namespace fovea::test {

inline constexpr double kInf = std::numeric_limits<double>::infinity();

/// One attention: its spec and operands (floating ones in f64).
struct AttentionCase {
  std::string name;
  AttentionSpec spec;
  std::vector<Array> in;  ///< q, k, v, leaves
};

/// Programs in a line or two: p.s() * 0.5 and so on, by value numbers.
struct Formula {
  tiles::Program p;
  int32_t s() { return p.input(0); }
  int32_t leaf(int64_t n, tiles::Kind kind = tiles::Kind::real) { return p.input(n + 1, kind); }
  int32_t number(double x) { return p.constant(x); }
  int32_t i() { return p.iota(-2); }
  int32_t j() { return p.iota(-1); }
  int32_t mul(int32_t a, int32_t b) { return p.binary(tiles::Code::mul, a, b); }
  int32_t add(int32_t a, int32_t b) { return p.binary(tiles::Code::add, a, b); }
  int32_t sub(int32_t a, int32_t b) { return p.binary(tiles::Code::sub, a, b); }
  int32_t less(int32_t a, int32_t b) { return p.binary(tiles::Code::less, a, b); }
  int32_t less_equal(int32_t a, int32_t b) { return p.binary(tiles::Code::less_equal, a, b); }
  int32_t both(int32_t a, int32_t b) { return p.binary(tiles::Code::logical_and, a, b); }
  int32_t scaled(double by) { return mul(s(), number(by)); }
  tiles::Program done(int32_t result) {
    p.results = {result};
    p.compact();
    return p;
  }
};

inline tiles::Program scaled_score(double by) {
  Formula f;
  return f.done(f.scaled(by));
}
/// scale s where j <= i + offset, else fill.
inline tiles::Program causal_score(double by, int64_t offset = 0, double fill = -kInf) {
  Formula f;
  const int32_t seen = f.less_equal(f.j(), f.add(f.i(), f.p.integer(offset)));
  return f.done(f.p.select(seen, f.scaled(by), f.number(fill)));
}

/// Types of one case with floating operands in `dtype`.
inline std::vector<Array> in_type(const std::vector<Array>& in, DType dtype) {
  std::vector<Array> out;
  for (const Array& a : in) out.push_back(is_floating(a.dtype()) ? a.cast(dtype) : a);
  return out;
}

/// Forward ("f") and gradients ("g") of one case in one type.
class AttentionRun {
 public:
  AttentionRun(const AttentionCase& c, DType dtype)
      : in_(in_type(c.in, dtype)), passes_("attention", in_, attend::attrs_of(c.spec)) {}

  std::vector<Array> forward(const std::string& backend) const { return passes_.run("f", in_, backend); }
  /// Gradients of the floating operands for these cotangents of y and lse.
  std::vector<Array> backward(const std::string& backend, const std::vector<Array>& cotangents) const {
    std::vector<Array> args = in_;
    for (size_t i = 0; i < cotangents.size(); ++i) args.push_back(cotangents[i].cast(passes_.out[i].dtype));
    return passes_.run("g", args, backend);
  }
  const std::vector<TensorType>& results() const { return passes_.out; }
  const Derivatives& passes() const { return passes_; }

 private:
  std::vector<Array> in_;
  Derivatives passes_;
};

/// Empty, or where `got` is further from `want` than `bound` times the largest finite number in it. Elements
/// whose expected value is not finite are free.
inline std::string far(const Array& got, const Array& want, double bound) {
  if (got.shape() != want.shape()) return "shapes differ";
  double largest = 0;
  for (int64_t i = 0; i < want.size(); ++i)
    if (std::isfinite(want.get_flat(i))) largest = std::max(largest, std::abs(want.get_flat(i)));
  for (int64_t i = 0; i < want.size(); ++i) {
    const double g = got.get_flat(i), w = want.get_flat(i);
    if (!std::isfinite(w)) continue;
    if (!(std::abs(g - w) <= bound * (largest + 1e-30)))
      return "element " + std::to_string(i) + " is " + std::to_string(g) + ", expected " + std::to_string(w) +
             " (largest " + std::to_string(largest) + ")";
  }
  return "";
}

}  // namespace fovea::test
