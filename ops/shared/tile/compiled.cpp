#include "ops/shared/tile/compiled.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>

#include "framework/base/error.h"
#include "ops/shared/tile/scalar.h"

namespace fovea::tiles {
namespace {

constexpr int64_t kRegisterBytes = 24
                                   << 10;  // registers, operands and results stay inside a first-level cache
constexpr int32_t kAnyUses = 1 << 30;
constexpr int64_t kLeastStrip = 128, kMostStrip = 1024;
constexpr double kLarge = 0x1p20;  // of fills

struct Range {
  double low = -0x1p63, high = 0x1p63;
  bool narrow() const { return low >= -0x1p31 && high < 0x1p31; }
};

class Compiler {
 public:
  Compiler(const Program& p, DType compute, bool small)
      : p_(p), narrow_(compute == DType::f32), small_(small) {
    out_.compute = compute;
  }

  Compiled run() {
    count_uses();
    node_of_.assign(p_.code.size(), -1);
    range_.assign(p_.code.size(), {});
    for (size_t v = 0; v < p_.code.size(); ++v)
      if (uses_[v] > 0 && !joined_[v]) node_of_[v] = emit(static_cast<int32_t>(v));
    assign_slots();
    const int64_t real = narrow_ ? 4 : 8;
    const auto beside =
        static_cast<int64_t>(out_.operands + p_.results.size());  // they are in the cache, too
    const int64_t bytes = std::max<int64_t>(1, (out_.real_slots + beside) * real + out_.wide_slots * 8);
    out_.strip = std::clamp(kRegisterBytes / bytes, kLeastStrip, kMostStrip) / 16 * 16;
    return std::move(out_);
  }

 private:
  bool is_product(int32_t v) const { return p_.code[v].code == Code::mul && p_.code[v].kind == Kind::real; }

  // Numbers made of fills. A product of them is rounded before something is added: in one step with it, what
  // is added would decide ties, and equal scores (of masked keys, whose own are lost) would come out apart.
  void find_large() {
    large_.assign(p_.code.size(), false);
    for (size_t v = 0; v < p_.code.size(); ++v) {
      const Instr& i = p_.code[v];
      if (i.kind != Kind::real) continue;
      if (i.code == Code::constant) large_[v] = std::fabs(i.number) >= kLarge;
      if (i.code == Code::mul || i.code == Code::add || i.code == Code::sub)
        large_[v] = large_[i.a] || large_[i.b];
      if (i.code == Code::neg) large_[v] = large_[i.a];
      if (i.code == Code::select) large_[v] = large_[i.b] || large_[i.c];
    }
  }

  // A product with one use, that use a real sum or difference, becomes part of it.
  void count_uses() {
    find_large();
    uses_.assign(p_.code.size(), 0);
    joined_.assign(p_.code.size(), false);
    for (int32_t r : p_.results) ++uses_[r];
    for (size_t v = p_.code.size(); v-- > 0;) {
      const Instr& i = p_.code[v];
      if (uses_[v] == 0) continue;
      const int n = arity(i.code);
      if (n > 0) ++uses_[i.a];
      if (n > 1) ++uses_[i.b];
      if (n > 2) ++uses_[i.c];
    }
    for (size_t v = 0; v < p_.code.size(); ++v) {
      if (uses_[v] == 0) continue;
      find_normal(static_cast<int32_t>(v));
      if (zeroes(p_.code[v])) joined_[p_.code[v].a] = true;
    }
    for (size_t v = 0; v < p_.code.size(); ++v) {
      const Instr& i = p_.code[v];
      if (uses_[v] == 0 || i.kind != Kind::real || (i.code != Code::add && i.code != Code::sub)) continue;
      const auto free = [&](int32_t x) {
        return is_product(x) && !large_[x] && uses_[x] == 1 && !joined_[x] && !normal_.count(x);
      };
      if (joined_[v]) continue;
      const int32_t product = free(i.a) ? i.a : free(i.b) ? i.b : -1;
      if (product >= 0) joined_[product] = true;
    }
  }

  // The operand beside the constant `number`, of a sum or product `code` that only one value uses; or -1.
  int32_t beside(int32_t v, Code code, double number, int32_t most_uses = 1) const {
    const Instr& i = p_.code[v];
    if (i.code != code || i.kind != Kind::real || uses_[v] > most_uses) return -1;
    const auto is = [&](int32_t x) {
      return p_.code[x].code == Code::constant && std::fabs(p_.code[x].number - number) <= 1e-8;
    };
    return is(i.a) ? i.b : is(i.b) ? i.a : -1;
  }
  // 1 + erf(x / sqrt(2)): x, or -1.
  int32_t erf_of_normal(int32_t v) const {
    const int32_t e = beside(v, Code::add, 1);
    if (e < 0 || p_.code[e].code != Code::erf || uses_[e] != 1) return -1;
    return beside(p_.code[e].a, Code::mul, 0.70710678118654752);
  }
  void take_in_normal(int32_t sum) {
    const Instr& i = p_.code[sum];
    const int32_t e = p_.code[i.a].code == Code::erf ? i.a : i.b;
    joined_[sum] = joined_[e] = joined_[p_.code[e].a] = true;
  }
  // The normal distribution function and its bell curve, as the gelu functions spell them, are one loop.
  void find_normal(int32_t v) {
    const Instr& i = p_.code[v];
    if (i.code == Code::exp) {
      const int32_t square = beside(i.a, Code::mul, -0.5);
      if (square < 0 || !is_product(square) || p_.code[square].a != p_.code[square].b) return;
      joined_[i.a] = true;
      if (uses_[square] == 1) joined_[square] = true;
      normal_[v] = {p_.code[square].a, -1, Op::bell};
    } else if (i.code == Code::mul && i.kind == Kind::real) {
      const int32_t half = beside(v, Code::mul, 0.5, kAnyUses);
      if (half >= 0 && erf_of_normal(half) >= 0) {
        normal_[v] = {erf_of_normal(half), -1, Op::normal_cdf};
        return take_in_normal(half);
      }
      for (const auto& [factor, sum] : {std::pair(i.a, i.b), std::pair(i.b, i.a)}) {
        const int32_t other = beside(factor, Code::mul, 0.5);
        if (other < 0 || erf_of_normal(sum) < 0) continue;
        normal_[v] = {erf_of_normal(sum), other, Op::normal_cdf};
        joined_[factor] = true;
        return take_in_normal(sum);
      }
    }
  }
  // A comparison of its own that puts 0 in the place of a real number: masks of gradients and of dropout.
  bool zeroes(const Instr& i) const {
    if (i.code != Code::select || i.kind != Kind::real || uses_[i.a] != 1) return false;
    const Instr &condition = p_.code[i.a], &yes = p_.code[i.b];
    return (condition.code == Code::less || condition.code == Code::less_equal) &&
           yes.code == Code::constant && std::bit_cast<uint64_t>(yes.number) == 0;
  }
  int32_t emit_zeroes(const Instr& i, int32_t v) {
    const Instr& condition = p_.code[i.a];
    Node n;
    n.op = condition.code == Code::less ? Op::zero_where_less : Op::zero_where_less_equal;
    n.a = node_of_[condition.a];
    n.b = node_of_[condition.b];
    n.c = node_of_[i.c];
    const Rep a = out_.nodes[n.a].rep, b = out_.nodes[n.b].rep;
    if (a == b) n.loop = find_basic_loop(n.op, a, out_.compute);
    if (n.loop) return push(n);
    node_of_[i.a] = plain(condition, i.a, start(condition));
    return plain(i, v, start(i));
  }
  static Node start(const Instr& i) {
    Node n;
    n.op = op_of(i.code);
    n.index = i.index;
    return n;
  }

  // normal_cdf(x) or bell(x), times `factor` if there is one.
  int32_t emit_normal(int32_t x, int32_t factor, Op op) {
    Node n;
    n.op = op;
    n.a = node_of_[x];
    n.loop = find_math_loop(op, out_.compute);
    const int32_t value = push(n);
    if (factor < 0) return value;
    Node product;
    product.op = op_of(Code::mul);
    product.a = node_of_[factor];
    product.b = value;
    product.loop = find_basic_loop(product.op, Rep::real, out_.compute);
    return push(product);
  }

  int32_t emit(int32_t v) {
    if (const auto at = normal_.find(v); at != normal_.end())
      return emit_normal(at->second.x, at->second.factor, at->second.op);
    const Instr& i = p_.code[v];
    if (i.code == Code::constant) return constant(i, v);
    if (zeroes(i)) return emit_zeroes(i, v);
    Node n = start(i);
    if (arity(i.code) == 0) {
      n.rep = rep_of(i, v);
      n.a = i.code == Code::random ? i.a : -1;
      if (i.code != Code::iota)
        out_.operands = std::max(out_.operands, (i.code == Code::random ? i.a : i.index) + 1);
      out_.has_iota = out_.has_iota || i.code == Code::iota;
      return push(n);
    }
    if (i.kind == Kind::real && (i.code == Code::add || i.code == Code::sub) &&
        (joined_[i.a] || joined_[i.b]))
      return fused(i);
    return plain(i, v, n);
  }

  // One multiply-add; of two products the first is taken in.
  int32_t fused(const Instr& i) {
    const bool first = joined_[i.a];
    const Instr& product = p_.code[first ? i.a : i.b];
    Node n;
    n.op = i.code == Code::add ? Op::multiply_add : first ? Op::multiply_subtract : Op::subtract_product;
    n.a = node_of_[product.a];
    n.b = node_of_[product.b];
    n.c = node_of_[first ? i.b : i.a];
    n.loop = find_basic_loop(n.op, Rep::real, out_.compute);
    return push(n);
  }

  int32_t plain(const Instr& i, int32_t v, Node n) {
    const int count = arity(i.code);
    int32_t* operands[] = {&n.a, &n.b, &n.c};
    const int32_t values[] = {i.a, i.b, i.c};
    for (int k = 0; k < count; ++k) *operands[k] = node_of_[values[k]];
    n.rep = rep_of(i, v);
    const int first = i.code == Code::select ? 1 : 0;
    Rep from = out_.nodes[*operands[first]].rep;
    // Integers of both widths meet as i64, and what has no i32 loop runs on i64.
    bool wide = n.rep == Rep::i64 && p_.code[values[first]].kind == Kind::integer;
    for (int k = first; k < count; ++k) wide = wide || out_.nodes[*operands[k]].rep == Rep::i64;
    wide = wide || (from == Rep::i32 && !find_basic_loop(n.op, from, out_.compute));
    if (wide && p_.code[values[first]].kind == Kind::integer) {
      for (int k = first; k < count; ++k) *operands[k] = widened(*operands[k]);
      from = Rep::i64;
    }
    n.loop = find_integer_loop(n.op, from, n.rep, out_.compute);
    if (!n.loop) n.loop = find_basic_loop(n.op, from, out_.compute);
    if (!n.loop && from == Rep::real) n.loop = find_math_loop(n.op, out_.compute);
    if (!n.loop) fail(ErrorKind::Unsupported, "tile machine: no loop for " + std::string(name_of(i.code)));
    return push(n);
  }

  int32_t widened(int32_t node) {
    if (out_.nodes[node].rep == Rep::i64) return node;
    if (auto at = widened_.find(node); at != widened_.end()) return at->second;
    Node n;
    n.op = Op::widen;
    n.rep = Rep::i64;
    n.a = node;
    n.loop = find_integer_loop(Op::widen, Rep::i32, Rep::i64, out_.compute);
    return widened_[node] = push(n);
  }

  int32_t push(const Node& n) {
    out_.nodes.push_back(n);
    return static_cast<int32_t>(out_.nodes.size()) - 1;
  }

  Rep rep_of(const Instr& i, int32_t v) {
    if (i.kind == Kind::real) return Rep::real;
    if (i.kind == Kind::boolean) return Rep::mask;
    range_[v] = range_of(i);
    return narrow_ && range_[v].narrow() ? Rep::i32 : Rep::i64;
  }

  // Of integers; anything that is not certain to fit counts as wide.
  Range range_of(const Instr& i) const {
    const auto number = [](int64_t x) { return static_cast<double>(x); };
    switch (i.code) {
      case Code::constant:
        return {number(i.index), number(i.index)};
      case Code::iota:
        return small_ ? Range{0, number(kSmallIndex)} : Range{};
      case Code::random:
        return {-0x1p31, 0x1p31 - 1};
      case Code::to_integer:
        return p_.code[i.a].kind == Kind::boolean ? Range{0, 1} : Range{};
      case Code::neg:
        return negated(range_[i.a]);
      case Code::add:
        return sum(range_[i.a], range_[i.b]);
      case Code::sub:
        return sum(range_[i.a], negated(range_[i.b]));
      case Code::maximum:
      case Code::minimum:
        return join(range_[i.a], range_[i.b]);
      case Code::select:
        return join(range_[i.b], range_[i.c]);
      default:
        return {};
    }
  }
  static Range negated(const Range& a) { return {-a.high, -a.low}; }
  static Range sum(const Range& a, const Range& b) {
    return a.narrow() && b.narrow() ? Range{a.low + b.low, a.high + b.high} : Range{};
  }
  static Range join(const Range& a, const Range& b) {
    return {std::min(a.low, b.low), std::max(a.high, b.high)};
  }

  int32_t constant(const Instr& i, int32_t v) {
    Node n;
    n.op = op_of(Code::constant);
    n.rep = rep_of(i, v);
    n.constant = static_cast<int32_t>(out_.constants.size());
    const int64_t unit = unit_of(out_.compute);
    for (int64_t k = 0; k < unit; ++k) {
      if (n.rep == Rep::i64) {
        append(i.index);
      } else if (n.rep == Rep::i32) {
        append(static_cast<int32_t>(i.index));
      } else if (n.rep == Rep::mask) {
        narrow_ ? append(i.index ? ~uint32_t{0} : 0u) : append(i.index ? ~uint64_t{0} : uint64_t{0});
      } else {
        narrow_ ? append(static_cast<float>(i.number)) : append(i.number);
      }
    }
    return push(n);
  }
  template <class T>
  void append(T x) {
    const char* bytes = reinterpret_cast<const char*>(&x);
    out_.constants.insert(out_.constants.end(), bytes, bytes + sizeof(T));
  }

  void assign_slots() {
    auto& nodes = out_.nodes;
    const auto behind = static_cast<int32_t>(nodes.size());
    for (int32_t v = 0; v < behind; ++v) {
      const Node& n = nodes[v];
      if (n.op == op_of(Code::random)) continue;
      for (int32_t x : {n.a, n.b, n.c})
        if (x >= 0) nodes[x].last_use = v;
    }
    for (int32_t r : p_.results) {
      out_.results.push_back(node_of_[r]);
      nodes[node_of_[r]].last_use = behind;
    }
    std::vector<int32_t> free[2];
    std::vector<std::vector<int32_t>> dying(nodes.size());
    for (int32_t v = 0; v < behind; ++v)
      if (nodes[v].last_use < behind) dying[nodes[v].last_use].push_back(v);
    for (int32_t v = 0; v < behind; ++v) {
      // Loops go forward element by element: a result may take the register of an operand that dies here.
      for (int32_t x : dying[v])
        if (nodes[x].slot >= 0) free[nodes[x].rep == Rep::i64].push_back(nodes[x].slot);
      Node& n = nodes[v];
      if (n.constant >= 0) continue;
      const bool wide = n.rep == Rep::i64;
      int32_t& count = wide ? out_.wide_slots : out_.real_slots;
      if (free[wide].empty()) {
        n.slot = count++;
      } else {
        n.slot = free[wide].back();
        free[wide].pop_back();
      }
    }
  }

  const Program& p_;
  const bool narrow_, small_;
  Compiled out_;
  std::vector<int32_t> uses_, node_of_;
  std::vector<bool> joined_, large_;
  std::vector<Range> range_;
  std::map<int32_t, int32_t> widened_;
  struct Normal {
    int32_t x, factor;
    Op op;
  };
  std::map<int32_t, Normal> normal_;
};

}  // namespace

Compiled compile(const Program& program, DType compute, bool small) {
  return Compiler(program, compute, small).run();
}

}  // namespace fovea::tiles
