// Rules about operands that are one known number everywhere.
#include <cmath>
#include <limits>

#include "optim/passes/algebra_rules.h"

namespace fovea {
namespace {

// x op number, or for commutative ops number op x.
Value beside(AlgebraView& g, NodeId id, double number) {
  for (size_t i = 2; i-- > 0;)
    if (g.is_number(g.in(id, i), number)) return g.as_result(g.in(id, 1 - i), id);
  return kNone;
}

// The exponent of the least and the largest normal power of two.
struct Range {
  int least, largest;
};
Range powers_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return {-1022, 1023};
    case DType::f16:
      return {-14, 15};
    default:
      return {-126, 127};
  }
}

// |number| is 2^exponent, and so is its inverse, both normal numbers of the type.
bool is_power_of_two(double number, DType dtype, int& exponent) {
  if (!std::isfinite(number) || number == 0) return false;
  const double fraction = std::frexp(std::abs(number), &exponent);
  --exponent;
  const Range r = powers_of(dtype);
  return fraction == 0.5 && std::abs(exponent) <= std::min(-r.least, r.largest);
}

Value mul_one(AlgebraView& g, NodeId id) { return beside(g, id, 1); }

Value mul_minus_one(AlgebraView& g, NodeId id) {
  const Value x = beside(g, id, -1);
  return !x ? kNone : g.add(g.neg, {x}, {}, id);
}

Value div_one(AlgebraView& g, NodeId id) {
  return g.is_number(g.in(id, 1), 1) ? g.as_result(g.in(id, 0), id) : kNone;
}

// x / 2^k = x * 2^-k: both are the same number, rounded once.
Value div_power_of_two(AlgebraView& g, NodeId id) {
  const Value x = g.in(id, 0), by = g.in(id, 1);
  const DType dtype = g.type(by).dtype;
  double number = 0;
  int exponent = 0;
  if (!is_floating(dtype) || !g.uniform(by, number) || !is_power_of_two(number, dtype, exponent))
    return kNone;
  const Shape shape = g.type(by).shape;
  const Value inverse = g.add(g.full_op, {}, {{"shape", shape}, {"value", 1 / number}, {"dtype", dtype}}, id);
  return g.add(g.mul, {x, inverse}, {}, id);
}

// (x * 2^a) * 2^b = x * 2^(a + b) for a, b >= 0: neither loses digits, and both overflow for the same x.
Value mul_powers(AlgebraView& g, NodeId id) {
  for (size_t i = 0; i < 2; ++i) {
    const Value inner = g.in(id, i), outer = g.in(id, 1 - i);
    double a = 0, b = 0;
    int power_a = 0, power_b = 0;
    const DType dtype = g.type(outer).dtype;
    if (!is_floating(dtype) || !g.is(inner, g.mul)) continue;
    if (!g.uniform(outer, b) || !is_power_of_two(b, dtype, power_b) || power_b < 0) continue;
    for (size_t j = 0; j < 2; ++j) {
      const Value factor = g.node(inner).inputs[j], x = g.node(inner).inputs[1 - j];
      if (!g.uniform(factor, a) || !is_power_of_two(a, dtype, power_a) || power_a < 0) continue;
      if (power_a + power_b > powers_of(dtype).largest) continue;
      const Value product =
          g.add(g.full_op, {}, {{"shape", Shape{}}, {"value", a * b}, {"dtype", dtype}}, id);
      const Value y = g.add(g.mul, {x, product}, {}, id);
      return g.as_result(y, id);
    }
  }
  return kNone;
}

// -0 is the number that adds nothing; +0 turns -0 into +0.
Value add_zero(AlgebraView& g, NodeId id) {
  for (size_t i = 0; i < 2; ++i) {
    const Value x = g.in(id, 1 - i), zero = g.in(id, i);
    const bool nothing = g.is_number(zero, -0.0) || (g.is_number(zero, 0.0) && g.never_minus_zero(x));
    if (nothing) return g.as_result(x, id);
  }
  return kNone;
}

Value sub_zero(AlgebraView& g, NodeId id) {
  const Value x = g.in(id, 0), zero = g.in(id, 1);
  const bool nothing = g.is_number(zero, 0.0) || (g.is_number(zero, -0.0) && g.never_minus_zero(x));
  return nothing ? g.as_result(x, id) : kNone;
}

Value where_constant(AlgebraView& g, NodeId id) {
  double chosen = 0;
  if (!g.uniform(g.in(id, 0), chosen)) return kNone;
  return g.as_result(g.in(id, chosen != 0 ? 1 : 2), id);
}

// x and true, x or false: x. x and false, x or true: the constant.
Value logical_constant(AlgebraView& g, NodeId id) {
  const double neutral = g.node(id).op->name() == "logical_and" ? 1 : 0;
  for (size_t i = 0; i < 2; ++i) {
    double number = 0;
    if (!g.uniform(g.in(id, i), number)) continue;
    return number == neutral ? g.as_result(g.in(id, 1 - i), id) : g.full(number, id);
  }
  return kNone;
}

// Integers: x * 0 is 0 whatever x is.
Value integer_mul_zero(AlgebraView& g, NodeId id) {
  if (!is_integer(g.node(id).outputs[0].dtype)) return kNone;
  return g.is_number(g.in(id, 0), 0) || g.is_number(g.in(id, 1), 0) ? g.full(0, id) : kNone;
}

}  // namespace

const std::vector<AlgebraRule>& constant_rules() {
  static const auto* rules = new std::vector<AlgebraRule>{
      {"mul_one", {"mul"}, mul_one},
      {"mul_minus_one", {"mul"}, mul_minus_one},
      {"div_one", {"div"}, div_one},
      {"div_power_of_two", {"div"}, div_power_of_two},
      {"mul_powers_of_two", {"mul"}, mul_powers},
      {"integer_mul_zero", {"mul"}, integer_mul_zero},
      {"add_zero", {"add"}, add_zero},
      {"sub_zero", {"sub"}, sub_zero},
      {"where_constant", {"where"}, where_constant, true},
      {"logical_constant", {"logical_and", "logical_or"}, logical_constant},
  };
  return *rules;
}

}  // namespace fovea
