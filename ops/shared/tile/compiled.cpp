#include "ops/shared/tile/compiled.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "framework/base/error.h"
#include "ops/shared/tile/scalar.h"

namespace fovea::tiles {
namespace {

constexpr int64_t kRegisterBytes = 20 << 10;  // all registers together stay well inside a first-level cache
constexpr int64_t kLeastStrip = 128, kMostStrip = 1024;

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
    const int64_t bytes = std::max<int64_t>(1, out_.real_slots * real + out_.wide_slots * 8);
    out_.strip = std::clamp(kRegisterBytes / bytes, kLeastStrip, kMostStrip) / 16 * 16;
    return std::move(out_);
  }

 private:
  bool is_product(int32_t v) const { return p_.code[v].code == Code::mul && p_.code[v].kind == Kind::real; }

  // A product with one use, that use a real sum or difference, becomes part of it.
  void count_uses() {
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
      const Instr& i = p_.code[v];
      if (uses_[v] == 0 || i.kind != Kind::real || (i.code != Code::add && i.code != Code::sub)) continue;
      const int32_t product = is_product(i.a) && uses_[i.a] == 1   ? i.a
                              : is_product(i.b) && uses_[i.b] == 1 ? i.b
                                                                   : -1;
      if (product >= 0) joined_[product] = true;
    }
  }

  int32_t emit(int32_t v) {
    const Instr& i = p_.code[v];
    if (i.code == Code::constant) return constant(i, v);
    Node n;
    n.op = op_of(i.code);
    n.index = i.index;
    if (arity(i.code) == 0) {
      n.rep = rep_of(i, v);
      n.a = i.code == Code::random ? i.a : -1;
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
  std::vector<bool> joined_;
  std::vector<Range> range_;
  std::map<int32_t, int32_t> widened_;
};

}  // namespace

Compiled compile(const Program& program, DType compute, bool small) {
  return Compiler(program, compute, small).run();
}

}  // namespace fovea::tiles
