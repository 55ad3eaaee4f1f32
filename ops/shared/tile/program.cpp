#include "ops/shared/tile/program.h"

#include <algorithm>

#include "framework/base/error.h"
#include "ops/shared/tile/scalar.h"

namespace fovea::tiles {
namespace {

constexpr size_t kShortList = 24;  // searched from end to start, without a table
constexpr int64_t kMaxOperand = (1 << 16) - 1;
constexpr int64_t kMaxAxis = 64;

uint64_t hash_of(const Instr& i) {
  uint64_t h = static_cast<uint64_t>(i.code) * 31 + static_cast<uint64_t>(i.kind);
  const auto mix = [&h](uint64_t x) { h = (h ^ x) * 0x9E3779B97F4A7C15u + (h >> 29); };
  mix(static_cast<uint32_t>(i.a) | static_cast<uint64_t>(static_cast<uint32_t>(i.b)) << 32);
  mix(static_cast<uint32_t>(i.c));
  mix(static_cast<uint64_t>(i.index));
  mix(std::bit_cast<uint64_t>(i.number));
  return h;
}

bool is_constant(const Instr& i) { return i.code == Code::constant; }

Instr constant_of(double number) {
  Instr i;
  i.number = number;
  return i;
}
Instr constant_of(int64_t number) {
  Instr i;
  i.kind = Kind::integer;
  i.index = number;
  return i;
}
Instr constant_of(bool truth) {
  Instr i;
  i.kind = Kind::boolean;
  i.index = truth;
  return i;
}

[[noreturn]] void bad_operands(Code code, const char* wanted) {
  invalid("tile program: " + std::string(name_of(code)) + " takes " + wanted);
}

// ---- kinds

Kind kind_of_unary(Code code, Kind a) {
  switch (code) {
    case Code::neg:
    case Code::abs:
    case Code::sign:
      if (a == Kind::boolean) bad_operands(code, "a number");
      return a;
    case Code::logical_not:
      if (a != Kind::boolean) bad_operands(code, "a bool");
      return a;
    case Code::to_real:
      return Kind::real;
    case Code::to_integer:
      return Kind::integer;
    case Code::to_boolean:
      return Kind::boolean;
    default:
      if (a != Kind::real) bad_operands(code, "a real number");
      return code == Code::is_nan || code == Code::is_inf ? Kind::boolean : Kind::real;
  }
}

Kind kind_of_binary(Code code, Kind a, Kind b) {
  if (a != b) bad_operands(code, "two operands of one kind");
  if (is_logical(code)) {
    if (a != Kind::boolean) bad_operands(code, "bools");
    return a;
  }
  const bool equality = code == Code::equal || code == Code::not_equal;
  if (a == Kind::boolean && !equality) bad_operands(code, "numbers");
  return is_comparison(code) ? Kind::boolean : a;
}

// ---- folding: only what is exact, except that constants are combined in double

Instr fold_unary(const Instr& in, const Instr& a) {
  switch (in.code) {
    case Code::is_nan:
      return constant_of(a.number != a.number);
    case Code::is_inf:
      return constant_of(std::isinf(a.number));
    case Code::logical_not:
      return constant_of(a.index == 0);
    case Code::to_real:
      return constant_of(static_cast<double>(a.index));  // of a real it is not there any more
    case Code::to_integer:
      return constant_of(a.kind == Kind::real ? integer_of(a.number) : a.index);
    case Code::to_boolean:
      return constant_of(a.kind == Kind::real ? !(a.number == 0) : a.index != 0);
    default:
      return a.kind == Kind::real ? constant_of(real_unary(in.code, a.number))
                                  : constant_of(integer_unary(in.code, a.index));
  }
}

Instr fold_binary(const Instr& in, const Instr& a, const Instr& b) {
  if (is_logical(in.code)) return constant_of(logical(in.code, a.index != 0, b.index != 0));
  if (is_comparison(in.code))
    return constant_of(a.kind == Kind::real ? compare(in.code, a.number, b.number)
                                            : compare(in.code, a.index, b.index));
  return a.kind == Kind::real ? constant_of(real_binary(in.code, a.number, b.number))
                              : constant_of(integer_binary(in.code, a.index, b.index));
}

bool is_real(const Instr& i, double number) {
  return is_constant(i) && i.kind == Kind::real &&
         std::bit_cast<uint64_t>(i.number) == std::bit_cast<uint64_t>(number);
}
bool is_whole(const Instr& i, int64_t number) {
  return is_constant(i) && i.kind != Kind::real && i.index == number;
}
// 2^k whose reciprocal is exact in every computing type.
bool is_power_of_two(const Instr& i) {
  int exponent = 0;
  return is_constant(i) && i.kind == Kind::real && std::isfinite(i.number) &&
         std::fabs(std::frexp(i.number, &exponent)) == 0.5 && std::abs(exponent) < 100;
}

constexpr int32_t kNone = -1;

// The value that `in` equals for certain, or kNone. May rewrite `in` into an equal instruction.
struct Simplify {
  Program& p;
  const Instr& at(int32_t v) const { return p.code[v]; }

  int32_t unary(const Instr& in) {
    const Instr a = at(in.a);
    if ((in.code == Code::to_real && a.kind == Kind::real) ||
        (in.code == Code::to_integer && a.kind == Kind::integer) ||
        (in.code == Code::to_boolean && a.kind == Kind::boolean))
      return in.a;
    if (is_constant(a)) return p.add(fold_unary(in, a));
    if ((in.code == Code::neg || in.code == Code::logical_not) && a.code == in.code) return a.a;
    if (in.code == Code::abs && a.code == Code::abs) return in.a;
    if (in.code == Code::abs && a.code == Code::neg) return p.unary(Code::abs, a.a);
    return kNone;
  }

  int32_t sum(const Instr& in, const Instr& a, const Instr& b) {
    const bool plus = in.code == Code::add;
    if (is_real(b, plus ? -0.0 : 0.0) || is_whole(b, 0)) return in.a;
    if (plus && (is_real(a, -0.0) || is_whole(a, 0))) return in.b;
    if (b.code == Code::neg) return p.binary(plus ? Code::sub : Code::add, in.a, b.a);
    if (plus && a.code == Code::neg) return p.binary(Code::sub, in.b, a.a);
    return kNone;
  }

  int32_t product(Instr& in, const Instr& a, const Instr& b) {
    if (is_real(b, 1) || is_whole(b, 1)) return in.a;
    if (in.code == Code::div) {
      if (!is_power_of_two(b)) return kNone;
      return p.binary(Code::mul, in.a, p.constant(1 / b.number));
    }
    if (is_real(a, 1) || is_whole(a, 1)) return in.b;
    if (is_whole(a, 0)) return in.a;
    if (is_whole(b, 0)) return in.b;
    if (is_real(b, -1)) return p.unary(Code::neg, in.a);
    if (is_real(a, -1)) return p.unary(Code::neg, in.b);
    return kNone;
  }

  int32_t logic(const Instr& in, const Instr& a, const Instr& b) {
    const bool is_and = in.code == Code::logical_and, is_xor = in.code == Code::logical_xor;
    if (in.a == in.b) return is_xor ? p.boolean(false) : in.a;
    if (!is_constant(a) && !is_constant(b)) return kNone;
    const int32_t other = is_constant(a) ? in.b : in.a;
    const bool truth = (is_constant(a) ? a : b).index != 0;
    if (is_xor) return truth ? p.unary(Code::logical_not, other) : other;
    return truth == is_and ? other : p.boolean(truth);
  }

  int32_t binary(Instr& in) {
    const Instr a = at(in.a), b = at(in.b);
    if (is_constant(a) && is_constant(b)) return p.add(fold_binary(in, a, b));
    if (commutes_bitwise(in.code) && in.b < in.a) {
      std::swap(in.a, in.b);
      return binary(in);
    }
    switch (in.code) {
      case Code::add:
      case Code::sub:
        return sum(in, a, b);
      case Code::mul:
      case Code::div:
        return product(in, a, b);
      case Code::maximum:
      case Code::minimum:
        return in.a == in.b ? in.a : kNone;
      case Code::logical_and:
      case Code::logical_or:
      case Code::logical_xor:
        return logic(in, a, b);
      default:
        break;
    }
    if (is_comparison(in.code) && in.a == in.b && a.kind != Kind::real)
      return p.boolean(in.code == Code::less_equal || in.code == Code::equal);
    return kNone;
  }

  int32_t select(const Instr& in) {
    const Instr c = at(in.a);
    if (is_constant(c)) return c.index != 0 ? in.b : in.c;
    if (in.b == in.c) return in.b;
    if (c.code == Code::logical_not) return p.select(c.a, in.c, in.b);
    if (in.kind == Kind::boolean && is_constant(at(in.b)) && is_constant(at(in.c)))
      return at(in.b).index != 0 ? in.a : p.unary(Code::logical_not, in.a);
    return kNone;
  }
};

void check_leaf(Instr& in) {
  in.b = in.c = -1;
  if (in.code != Code::random) in.a = -1;
  if (in.code != Code::constant || in.kind != Kind::real) in.number = 0;
  switch (in.code) {
    case Code::input:
      if (in.index < 0 || in.index > kMaxOperand)
        invalid("tile program: operand " + std::to_string(in.index) + " is not in [0, " +
                std::to_string(kMaxOperand) + "]");
      return;
    case Code::constant:
      if (in.kind == Kind::real) in.index = 0;
      if (in.kind == Kind::boolean) in.index = in.index != 0;
      return;
    case Code::iota:
      in.kind = Kind::integer;
      if (in.index < -kMaxAxis || in.index >= kMaxAxis)
        invalid("tile program: axis " + std::to_string(in.index) + " of iota is out of range");
      return;
    default:
      in.kind = Kind::integer;
      if (in.a < 0 || in.a > kMaxOperand || in.index < 0)
        invalid("tile program: random needs a stream >= 0 and the operand of its key, got " +
                std::to_string(in.index) + " and " + std::to_string(in.a));
  }
}

}  // namespace

int arity(Code code) {
  if (code <= Code::random) return 0;
  if (code < Code::add) return 1;
  return code < Code::select ? 2 : 3;
}

int32_t Program::add(Instr in) {
  const int n = arity(in.code);
  if (n == 0) {
    check_leaf(in);
    return find_or_add(in);
  }
  const int32_t operands[] = {in.a, in.b, in.c};
  for (int k = 0; k < n; ++k)
    if (operands[k] < 0 || operands[k] >= static_cast<int32_t>(code.size()))
      invalid("tile program: " + std::string(name_of(in.code)) + " reads value " +
              std::to_string(operands[k]) + ", there are " + std::to_string(code.size()));
  if (n < 2) in.b = -1;
  if (n < 3) in.c = -1;
  in.index = 0;
  in.number = 0;
  Simplify simplify{*this};
  int32_t known = kNone;
  if (n == 1) {
    in.kind = kind_of_unary(in.code, code[in.a].kind);
    known = simplify.unary(in);
  } else if (n == 2) {
    in.kind = kind_of_binary(in.code, code[in.a].kind, code[in.b].kind);
    known = simplify.binary(in);
  } else {
    if (code[in.a].kind != Kind::boolean || code[in.b].kind != code[in.c].kind)
      bad_operands(in.code, "a bool and two operands of one kind");
    in.kind = code[in.b].kind;
    known = simplify.select(in);
  }
  return known != kNone ? known : find_or_add(in);
}

int32_t Program::find_or_add(const Instr& in) {
  const int32_t next = static_cast<int32_t>(code.size());
  if (code.size() <= kShortList) {
    for (int32_t v = next; v-- > 0;)
      if (code[v] == in) return v;
  } else {
    if (known_count_ != code.size()) {
      known_.clear();
      for (int32_t v = 0; v < next; ++v) known_.emplace(hash_of(code[v]), v);
      known_count_ = code.size();
    }
    const auto [first, last] = known_.equal_range(hash_of(in));
    for (auto at = first; at != last; ++at)
      if (at->second < next && code[at->second] == in) return at->second;
    known_.emplace(hash_of(in), next);
    known_count_ = code.size() + 1;
  }
  code.push_back(in);
  return next;
}

int32_t Program::input(int64_t operand, Kind kind) {
  Instr i;
  i.code = Code::input;
  i.kind = kind;
  i.index = operand;
  return add(i);
}
int32_t Program::constant(double number) { return add(constant_of(number)); }
int32_t Program::integer(int64_t number) { return add(constant_of(number)); }
int32_t Program::boolean(bool truth) { return add(constant_of(truth)); }
int32_t Program::iota(int64_t axis) {
  Instr i;
  i.code = Code::iota;
  i.index = axis;
  return add(i);
}
int32_t Program::random(int64_t ordinal, int64_t key) {
  Instr i;
  i.code = Code::random;
  i.a = static_cast<int32_t>(std::clamp<int64_t>(key, -1, kMaxOperand + 1));
  i.index = ordinal;
  return add(i);
}
int32_t Program::unary(Code c, int32_t a) {
  Instr i;
  i.code = c;
  i.a = a;
  return add(i);
}
int32_t Program::binary(Code c, int32_t a, int32_t b) {
  Instr i;
  i.code = c;
  i.a = a;
  i.b = b;
  return add(i);
}
int32_t Program::select(int32_t condition, int32_t yes, int32_t no) {
  Instr i;
  i.code = Code::select;
  i.a = condition;
  i.b = yes;
  i.c = no;
  return add(i);
}

std::vector<int32_t> Program::append(const Program& other, std::span<const int32_t> inputs) {
  const auto given = [&](int64_t operand) {
    return operand < static_cast<int64_t>(inputs.size()) ? inputs[operand] : -1;
  };
  std::vector<int32_t> map(other.code.size());
  for (size_t v = 0; v < other.code.size(); ++v) {
    Instr i = other.code[v];
    const int n = arity(i.code);
    if (i.code == Code::input && given(i.index) >= 0) {
      map[v] = given(i.index);
      if (code[map[v]].kind != i.kind)
        invalid("tile program: input " + std::to_string(i.index) + " stands for a value of another kind");
      continue;
    }
    if (i.code == Code::random && given(i.a) >= 0) {
      const Instr& key = code[given(i.a)];
      if (key.code != Code::input) invalid("tile program: the key of random must stay an operand");
      i.a = static_cast<int32_t>(key.index);
    }
    if (n > 0) i.a = map[i.a];
    if (n > 1) i.b = map[i.b];
    if (n > 2) i.c = map[i.c];
    map[v] = add(i);
  }
  std::vector<int32_t> out;
  for (int32_t r : other.results) out.push_back(map[r]);
  return out;
}

bool Program::reads_input(int32_t v, int64_t operand) const {
  std::vector<bool> needed(static_cast<size_t>(v) + 1, false);
  needed[v] = true;
  for (int32_t at = v; at >= 0; --at) {
    if (!needed[at]) continue;
    const Instr& i = code[at];
    if ((i.code == Code::input && i.index == operand) || (i.code == Code::random && i.a == operand))
      return true;
    const int n = arity(i.code);
    if (n > 0) needed[i.a] = true;
    if (n > 1) needed[i.b] = true;
    if (n > 2) needed[i.c] = true;
  }
  return false;
}

void Program::compact() {
  std::vector<int32_t> number(code.size(), -1);
  for (int32_t r : results) number[r] = 0;
  for (size_t v = code.size(); v-- > 0;) {
    if (number[v] < 0) continue;
    const int n = arity(code[v].code);
    if (n > 0) number[code[v].a] = 0;
    if (n > 1) number[code[v].b] = 0;
    if (n > 2) number[code[v].c] = 0;
  }
  int32_t next = 0;
  for (size_t v = 0; v < code.size(); ++v) {
    if (number[v] < 0) continue;
    Instr i = code[v];
    const int n = arity(i.code);
    if (n > 0) i.a = number[i.a];
    if (n > 1) i.b = number[i.b];
    if (n > 2) i.c = number[i.c];
    number[v] = next;
    code[next++] = i;
  }
  code.resize(next);
  for (int32_t& r : results) r = number[r];
  known_.clear();
  known_count_ = 0;
}

}  // namespace fovea::tiles
