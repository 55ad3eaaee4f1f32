// Reverse-mode differentiation of tile programs, instruction by instruction.
#include <numeric>

#include "framework/base/error.h"
#include "ops/shared/tile/program.h"

namespace fovea::tiles {
namespace {

constexpr double kErfScale = 1.1283791670955126;  // 2 / sqrt(pi)

// The program being differentiated, with gradients added behind it.
class Reverse {
 public:
  explicit Reverse(Program& p) : p_(p), adjoint_(p.code.size(), -1), active_(p.code.size(), false) {}

  // Marks the values that the operands in `wrt` reach through differentiable instructions.
  void find_active(std::span<const int64_t> wrt) {
    for (size_t v = 0; v < active_.size(); ++v) {
      const Instr& i = p_.code[v];
      if (i.kind != Kind::real) continue;
      if (i.code == Code::input)
        for (int64_t k : wrt) active_[v] = active_[v] || k == i.index;
      const int n = arity(i.code);
      active_[v] =
          active_[v] || (n > 0 && active_[i.a]) || (n > 1 && active_[i.b]) || (n > 2 && active_[i.c]);
    }
  }
  void seed(int32_t v, int32_t g) { adjoint_[v] = g; }
  int32_t adjoint(int32_t v) const { return adjoint_[v]; }

  void run() {
    for (auto v = static_cast<int32_t>(adjoint_.size()); v-- > 0;) {
      if (adjoint_[v] < 0 || !active_[v]) continue;
      const Instr i = p_.code[v];
      const int n = arity(i.code);
      if (n == 1) unary(i, v, adjoint_[v]);
      if (n == 2) binary(i, v, adjoint_[v]);
      if (n == 3) {
        const int32_t g = adjoint_[v], zero = p_.constant(0);
        if (active_[i.b]) give(i.b, p_.select(i.a, g, zero));
        if (active_[i.c]) give(i.c, p_.select(i.a, zero, g));
      }
    }
  }

 private:
  int32_t mul(int32_t x, int32_t y) { return within_choices(Code::mul, x, y); }
  int32_t div(int32_t x, int32_t y) { return within_choices(Code::div, x, y); }
  // A gradient that a choice makes 0 stays so, whatever infinity it is multiplied by.
  int32_t within_choices(Code code, int32_t x, int32_t y) {
    std::vector<std::pair<int32_t, bool>> choices;  // conditions, and for which x is not 0
    for (;;) {
      const Instr i = p_.code[x];
      if (i.code != Code::select || !(is_zero(i.b) || is_zero(i.c))) break;
      const bool yes = is_zero(i.c);
      choices.emplace_back(i.a, yes);
      x = yes ? i.b : i.c;
    }
    int32_t product = p_.binary(code, x, y);
    for (; !choices.empty(); choices.pop_back()) {
      const auto [condition, yes] = choices.back();
      const int32_t zero = p_.constant(0);
      product = yes ? p_.select(condition, product, zero) : p_.select(condition, zero, product);
    }
    return product;
  }
  bool is_zero(int32_t x) const {
    const Instr& i = p_.code[x];
    return i.code == Code::constant && i.kind == Kind::real && i.number == 0;
  }
  int32_t neg(int32_t x) { return p_.unary(Code::neg, x); }
  int32_t scaled(double c, int32_t x) { return mul(p_.constant(c), x); }

  void give(int32_t v, int32_t term) {
    if (!active_[v]) return;
    adjoint_[v] = adjoint_[v] < 0 ? term : p_.binary(Code::add, adjoint_[v], term);
  }

  // x is the operand, y the result.
  void unary(const Instr& i, int32_t y, int32_t g) {
    const int32_t x = i.a;
    switch (i.code) {
      case Code::neg:
        return give(x, neg(g));
      case Code::abs:
        return give(x, mul(g, p_.unary(Code::sign, x)));
      case Code::exp:
        return give(x, mul(g, y));
      case Code::expm1:
        return give(x, mul(g, p_.unary(Code::exp, x)));
      case Code::log:
        return give(x, div(g, x));
      case Code::log1p:
        return give(x, div(g, p_.binary(Code::add, p_.constant(1), x)));
      case Code::sqrt:
        return give(x, div(scaled(0.5, g), y));
      case Code::rsqrt:
        return give(x, div(mul(scaled(-0.5, g), y), x));
      case Code::reciprocal:
        return give(x, neg(mul(mul(g, y), y)));
      case Code::tanh:
        return give(x, mul(g, p_.binary(Code::sub, p_.constant(1), mul(y, y))));
      case Code::sigmoid:
        return give(x, mul(g, mul(y, p_.binary(Code::sub, p_.constant(1), y))));
      case Code::erf:
        return give(x, mul(g, scaled(kErfScale, p_.unary(Code::exp, neg(mul(x, x))))));
      case Code::sin:
        return give(x, mul(g, p_.unary(Code::cos, x)));
      case Code::cos:
        return give(x, neg(mul(g, p_.unary(Code::sin, x))));
      case Code::sign:  // steps
      case Code::floor:
      case Code::ceil:
      case Code::round:
      default:  // casts of integers and bools never come here: their operand is not active
        return;
    }
  }

  void binary(const Instr& i, int32_t y, int32_t g) {
    const int32_t a = i.a, b = i.b;
    switch (i.code) {
      case Code::add:
        give(a, g);
        return give(b, g);
      case Code::sub:
        give(a, g);
        return give(b, neg(g));
      case Code::mul:
        if (active_[a]) give(a, mul(g, b));
        if (active_[b]) give(b, mul(g, a));
        return;
      case Code::div:
        if (active_[a]) give(a, div(g, b));
        if (active_[b]) give(b, neg(div(mul(g, y), b)));
        return;
      case Code::maximum:
        return larger(p_.binary(Code::less, b, a), p_.binary(Code::less, a, b), a, b, g);
      case Code::minimum:
        return larger(p_.binary(Code::less, a, b), p_.binary(Code::less, b, a), a, b, g);
      case Code::pow:
        return power(a, b, y, g);
      case Code::mod:
        give(a, g);
        if (active_[b]) give(b, neg(mul(g, p_.binary(Code::floor_div, a, b))));
        return;
      case Code::floor_div:
      default:
        return;
    }
  }

  // Where both are equal each gets half.
  void larger(int32_t first, int32_t second, int32_t a, int32_t b, int32_t g) {
    const int32_t tie = p_.select(p_.binary(Code::equal, a, b), scaled(0.5, g), p_.constant(0));
    give(a, p_.select(first, g, tie));
    give(b, p_.select(second, g, tie));
  }

  // As the op's own gradient: the inner selects keep infinities out of branches that are not taken.
  void power(int32_t x, int32_t e, int32_t y, int32_t g) {
    const int32_t zero = p_.constant(0), one = p_.constant(1);
    if (active_[x]) {
      const int32_t flat = p_.binary(Code::equal, e, zero);
      const int32_t less_one = p_.select(flat, one, p_.binary(Code::sub, e, one));
      give(x, p_.select(flat, zero, mul(mul(g, e), p_.binary(Code::pow, x, less_one))));
    }
    if (active_[e]) {
      const int32_t base = p_.select(p_.binary(Code::equal, x, zero), one, x);
      give(e, mul(mul(g, y), p_.unary(Code::log, base)));
    }
  }

  Program& p_;
  std::vector<int32_t> adjoint_;  // of the first values, -1: none
  std::vector<bool> active_;
};

}  // namespace

Program derivative(const Program& program, std::span<const int64_t> wrt, int64_t gradient) {
  if (program.results.size() != 1 || program.code[program.results[0]].kind != Kind::real)
    invalid("derivative of a tile program: it must have one real result");
  Program p;
  const int32_t result = p.append(program, {})[0];
  Reverse reverse(p);
  reverse.find_active(wrt);
  const auto values = static_cast<int32_t>(p.code.size());
  reverse.seed(result, p.input(gradient));
  reverse.run();
  std::vector<int32_t> results;
  for (int64_t k : wrt) {
    int32_t slope = -1;
    for (int32_t v = 0; v < values; ++v)
      if (p.code[v].code == Code::input && p.code[v].kind == Kind::real && p.code[v].index == k)
        slope = reverse.adjoint(v);
    results.push_back(slope >= 0 ? slope : p.constant(0));
  }
  p.results = std::move(results);
  p.compact();
  return p;
}

}  // namespace fovea::tiles
