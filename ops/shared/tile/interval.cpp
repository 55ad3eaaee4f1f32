// Interval arithmetic on tile programs.
//
//   [-DBL_MAX, DBL_MAX]  an unknown finite number
//   [-inf, inf]          anything, NaN included; NaN is possible in no other interval
//   bounds that are not infinite: results of finite numbers count as finite, except of exp, log and division
#include <algorithm>
#include <cfloat>
#include <cmath>

#include "framework/base/error.h"
#include "ops/shared/tile/scalar.h"

namespace fovea::tiles {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr Interval kAnything{-kInf, kInf};
constexpr Interval kFinite{-DBL_MAX, DBL_MAX};
constexpr Interval kUnknownBool{0, 1};

bool anything(const Interval& x) { return x.low == -kInf && x.high == kInf; }
bool finite(const Interval& x) { return x.low > -kInf && x.high < kInf; }
bool has_zero(const Interval& x) { return x.low <= 0 && x.high >= 0; }

Interval checked(double low, double high) {
  if (low != low || high != high || low > high) return kAnything;
  return {low, high};
}

// Room for the rounding of the computing type, which may be f32; numbers that it holds exactly stay.
double outward(double x, double sign, double relative) {
  if (std::isinf(x) || static_cast<double>(static_cast<float>(x)) == x) return x;
  return std::clamp(x + sign * relative * std::fabs(x), -DBL_MAX, DBL_MAX);
}
Interval rounded(double low, double high) {
  return checked(outward(low, -1, 0x1p-22), outward(high, 1, 0x1p-22));
}
// The same for functions that are approximated.
Interval approximate(double low, double high) {
  if (low == high && (std::isinf(low) || low == 0 || std::fabs(low) == 1)) return {low, high};
  const auto widen = [](double x, double sign) {
    return std::isinf(x) ? x : std::clamp(x + sign * (0x1p-20 * std::fabs(x) + FLT_MIN), -DBL_MAX, DBL_MAX);
  };
  return checked(widen(low, -1), widen(high, 1));
}

double clamp_finite(double x) { return std::clamp(x, -DBL_MAX, DBL_MAX); }

Interval add(const Interval& a, const Interval& b) {
  if (anything(a) || anything(b)) return kAnything;
  const bool up = a.high == kInf || b.high == kInf, down = a.low == -kInf || b.low == -kInf;
  if (up && down) return kAnything;  // inf + -inf is NaN
  double low = a.low + b.low, high = a.high + b.high;
  if (!down && low != kInf) low = clamp_finite(low);
  if (!up && high != -kInf) high = clamp_finite(high);
  return rounded(low, high);
}
Interval negated(const Interval& a) { return {-a.high, -a.low}; }

Interval mul(const Interval& a, const Interval& b) {
  if (anything(a) || anything(b)) return kAnything;
  const bool bounded = finite(a) && finite(b);
  if (!bounded) {  // 0 * inf is NaN
    const bool bad = (!finite(a) && has_zero(b)) || (!finite(b) && has_zero(a));
    if (bad) return kAnything;
  }
  const double p[] = {a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high};
  double low = *std::min_element(p, p + 4), high = *std::max_element(p, p + 4);
  if (bounded) {
    low = clamp_finite(low);
    high = clamp_finite(high);
  }
  return rounded(low, high);
}

Interval square(const Interval& a) {
  if (anything(a)) return kAnything;
  const double low = std::fabs(a.low), high = std::fabs(a.high);
  const Interval magnitude{has_zero(a) ? 0 : std::min(low, high), std::max(low, high)};
  return mul(magnitude, magnitude);
}

Interval reciprocal(const Interval& a) {
  if (anything(a)) return kAnything;
  if (has_zero(a)) return kAnything;
  return rounded(1 / a.high, 1 / a.low);
}

Interval div(const Interval& a, const Interval& b) {
  if (anything(a) || anything(b) || has_zero(b) || !finite(b)) return kAnything;
  const double q[] = {a.low / b.low, a.low / b.high, a.high / b.low, a.high / b.high};
  return rounded(*std::min_element(q, q + 4), *std::max_element(q, q + 4));
}

template <class F>
Interval rising(const Interval& a, F f) {
  return checked(f(a.low), f(a.high));
}

Interval unary_real(Code code, const Interval& a) {
  switch (code) {
    case Code::neg:
      return negated(a);
    case Code::abs:
      if (anything(a)) return a;
      return has_zero(a) ? Interval{0, std::max(-a.low, a.high)}
                         : Interval{std::min(std::fabs(a.low), std::fabs(a.high)),
                                    std::max(std::fabs(a.low), std::fabs(a.high))};
    default:
      break;
  }
  if (anything(a)) return kAnything;
  const auto f = [code](double x) { return real_unary(code, x); };
  switch (code) {
    case Code::sign:
    case Code::floor:
    case Code::ceil:
    case Code::round:
      return rising(a, f);
    case Code::exp: {
      const Interval y = approximate(f(a.low), f(a.high));
      return {std::max(0.0, y.low), a.high > 88 ? kInf : y.high};  // f32 overflows there
    }
    case Code::expm1: {
      const Interval y = approximate(f(a.low), f(a.high));
      return {std::max(-1.0, y.low), a.high > 88 ? kInf : y.high};
    }
    case Code::log:
      return a.low < 0 ? kAnything : approximate(f(a.low), f(a.high));
    case Code::log1p:
      return a.low < -1 ? kAnything : approximate(f(a.low), f(a.high));
    case Code::sqrt:
      return a.low < 0 ? kAnything : approximate(f(a.low), f(a.high));
    case Code::rsqrt:
      return a.low <= 0 ? kAnything : approximate(f(a.high), f(a.low));
    case Code::reciprocal:
      return reciprocal(a);
    case Code::tanh:
    case Code::erf: {
      const Interval y = approximate(f(a.low), f(a.high));
      return {std::max(-1.0, y.low), std::min(1.0, y.high)};
    }
    case Code::sigmoid: {
      const Interval y = approximate(f(a.low), f(a.high));
      return {std::max(0.0, y.low), std::min(1.0, y.high)};
    }
    default:  // sin, cos
      return finite(a) ? Interval{-1 - 0x1p-20, 1 + 0x1p-20} : kAnything;
  }
}

Interval truth(bool certain_true, bool certain_false) {
  return certain_true ? Interval{1, 1} : certain_false ? Interval{0, 0} : kUnknownBool;
}

// NaN makes every comparison false except not_equal. `nan`: possible in reals.
Interval compare(Code code, const Interval& a, const Interval& b, bool real) {
  if (real && (anything(a) || anything(b))) return kUnknownBool;
  const bool apart = a.high < b.low || b.high < a.low;
  const bool same = a.constant() && b.constant() && a.low == b.low;
  switch (code) {
    case Code::less:
      return truth(a.high < b.low, a.low >= b.high);
    case Code::less_equal:
      return truth(a.high <= b.low, a.low > b.high);
    case Code::equal:
      return truth(same, apart);
    default:
      return truth(apart, same);
  }
}

Interval logical_of(Code code, const Interval& a, const Interval& b) {
  if (code == Code::logical_and) return {std::min(a.low, b.low), std::min(a.high, b.high)};
  if (code == Code::logical_or) return {std::max(a.low, b.low), std::max(a.high, b.high)};
  if (!a.constant() || !b.constant()) return kUnknownBool;
  const double x = a.low != b.low ? 1 : 0;
  return {x, x};
}

// Integers: bounds are exact up to 2^53; beyond 2^62 they may wrap around.
Interval whole(double low, double high) {
  if (!(low >= -0x1p53 && high <= 0x1p53)) return kFinite;
  return {low, high};
}

Interval integer_binary_of(Code code, const Interval& a, const Interval& b) {
  switch (code) {
    case Code::add:
      return whole(a.low + b.low, a.high + b.high);
    case Code::sub:
      return whole(a.low - b.high, a.high - b.low);
    case Code::mul: {
      const double p[] = {a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high};
      return whole(*std::min_element(p, p + 4), *std::max_element(p, p + 4));
    }
    case Code::maximum:
      return {std::max(a.low, b.low), std::max(a.high, b.high)};
    case Code::minimum:
      return {std::min(a.low, b.low), std::min(a.high, b.high)};
    default:
      break;
  }
  const bool small = a.low >= -0x1p53 && a.high <= 0x1p53;
  if (b.constant() && b.low > 0 && b.low <= 0x1p53 && small) {
    const double d = b.low, first = std::floor(a.low / d), last = std::floor(a.high / d);
    if (code == Code::floor_div) return {first, last};
    if (code == Code::div) return {std::trunc(a.low / d), std::trunc(a.high / d)};
    if (code == Code::mod)
      return first == last ? Interval{a.low - first * d, a.high - first * d} : Interval{0, d - 1};
  }
  return kFinite;
}

// `same`: both operands are one value.
Interval binary_real(Code code, const Interval& a, const Interval& b, bool same) {
  switch (code) {
    case Code::add:
      return add(a, b);
    case Code::sub:
      return add(a, negated(b));
    case Code::mul:
      return same ? square(a) : mul(a, b);
    case Code::div:
      return div(a, b);
    case Code::maximum:
      if (anything(a) || anything(b)) return kAnything;
      return {std::max(a.low, b.low), std::max(a.high, b.high)};
    case Code::minimum:
      if (anything(a) || anything(b)) return kAnything;
      return {std::min(a.low, b.low), std::min(a.high, b.high)};
    case Code::pow:
      if (a.constant() && b.constant()) {
        const double y = std::pow(a.low, b.low);
        if (y == y && !std::isinf(y)) return approximate(y, y);
      }
      return kAnything;
    case Code::mod:
      if (finite(a) && b.constant() && b.low > 0) return {0, b.low};
      return kAnything;
    default:  // floor_div
      const Interval q = div(a, b);
      return anything(q) ? q : Interval{std::floor(q.low), std::floor(q.high)};
  }
}

Interval conversion(const Instr& i, Kind from, const Interval& a) {
  if (i.code == Code::to_boolean) {
    if (from == Kind::boolean) return a;
    if (anything(a)) return kUnknownBool;
    return has_zero(a) ? (a.constant() ? Interval{0, 0} : kUnknownBool) : Interval{1, 1};
  }
  if (i.code == Code::to_real) return rounded(a.low, a.high);
  if (from != Kind::real) return a;
  return anything(a) ? kFinite : Interval{std::trunc(clamp_finite(a.low)), std::trunc(clamp_finite(a.high))};
}

Interval unary_of(const Instr& i, Kind from, const Interval& a) {
  switch (i.code) {
    case Code::is_nan:
      return anything(a) ? kUnknownBool : Interval{0, 0};
    case Code::is_inf:
      if (a.constant() && std::isinf(a.low)) return {1, 1};
      return finite(a) ? Interval{0, 0} : kUnknownBool;
    case Code::logical_not:
      return {1 - a.high, 1 - a.low};
    case Code::to_real:
    case Code::to_integer:
    case Code::to_boolean:
      return conversion(i, from, a);
    default:
      break;
  }
  if (from == Kind::real) return unary_real(i.code, a);
  if (i.code == Code::neg) return negated(a);
  return unary_real(i.code, a);
}

Interval leaf(const Instr& i, std::span<const Interval> operands, std::span<const int64_t> begin,
              std::span<const int64_t> end) {
  switch (i.code) {
    case Code::input: {
      const bool known = i.index < static_cast<int64_t>(operands.size());
      if (i.kind == Kind::boolean)
        return known ? Interval{std::max(0.0, operands[i.index].low), std::min(1.0, operands[i.index].high)}
                     : kUnknownBool;
      return known ? operands[i.index] : kFinite;
    }
    case Code::constant: {
      const double x = i.kind == Kind::real ? i.number : static_cast<double>(i.index);
      if (x != x) return kAnything;
      // The computing type may round it.
      return i.kind == Kind::real ? rounded(x, x) : Interval{x, x};
    }
    case Code::iota: {
      const auto rank = static_cast<int64_t>(begin.size());
      const int64_t axis = i.index < 0 ? i.index + rank : i.index;
      if (axis < 0 || axis >= rank)
        invalid("tile program: iota over axis " + std::to_string(i.index) + " of a space of rank " +
                std::to_string(rank));
      const auto first = static_cast<double>(begin[axis]);
      return {first, std::max(first, static_cast<double>(end[axis] - 1))};
    }
    default:
      return {-0x1p31, 0x1p31 - 1};  // 32 random bits
  }
}

Interval joined(const Interval& a, const Interval& b) {
  return {std::min(a.low, b.low), std::max(a.high, b.high)};
}

}  // namespace

void intervals(const Program& program, std::span<const Interval> operands, std::span<const int64_t> begin,
               std::span<const int64_t> end, std::span<Interval> out) {
  if (out.size() != program.code.size() || begin.size() != end.size())
    invalid("intervals: " + std::to_string(out.size()) + " results for " +
            std::to_string(program.code.size()) + " values");
  for (size_t v = 0; v < program.code.size(); ++v) {
    const Instr& i = program.code[v];
    const int n = arity(i.code);
    if (n == 0) {
      out[v] = leaf(i, operands, begin, end);
    } else if (n == 1) {
      out[v] = unary_of(i, program.code[i.a].kind, out[i.a]);
    } else if (n == 2) {
      const Interval &a = out[i.a], &b = out[i.b];
      const Kind kind = program.code[i.a].kind;
      out[v] = is_logical(i.code)      ? logical_of(i.code, a, b)
               : is_comparison(i.code) ? compare(i.code, a, b, kind == Kind::real)
               : kind == Kind::real    ? binary_real(i.code, a, b, i.a == i.b)
                                       : integer_binary_of(i.code, a, b);
    } else {
      const Interval& c = out[i.a];
      out[v] = c.low > 0 ? out[i.b] : c.high < 1 ? out[i.c] : joined(out[i.b], out[i.c]);
    }
  }
}

}  // namespace fovea::tiles
