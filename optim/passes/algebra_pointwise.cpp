// Rules about pointwise ops of pointwise ops.
#include "optim/passes/algebra_rules.h"

namespace fovea {
namespace {

// Every value of `from` is a value of `to`.
bool holds_all(DType to, DType from) {
  if (to == from || from == DType::boolean) return true;
  if (to == DType::boolean) return false;
  // Bits of magnitude that are exact; the sign apart.
  const auto digits = [](DType t) {
    switch (t) {
      case DType::f32:
        return 24;
      case DType::f64:
        return 53;
      case DType::f16:
        return 11;
      case DType::bf16:
      case DType::u8:
        return 8;
      case DType::i8:
        return 7;
      case DType::i16:
        return 15;
      case DType::i32:
        return 31;
      default:
        return 63;
    }
  };
  if (is_floating(from)) {
    if (from == DType::f16) return to == DType::f32 || to == DType::f64;
    if (from == DType::bf16) return to == DType::f32 || to == DType::f64;
    return from == DType::f32 && to == DType::f64;
  }
  if (to == DType::u8) return false;
  return digits(to) >= digits(from);
}

Value cast_same(AlgebraView& g, NodeId id) {
  const Value x = g.in(id, 0);
  return g.type(x) == g.node(id).outputs[0] ? x : kNone;
}

// a -> b -> c, where b holds every a: a -> c.
Value cast_cast(AlgebraView& g, NodeId id) {
  const Value middle = g.in(id, 0);
  if (!g.is(middle, g.cast)) return kNone;
  const Value x = g.node(middle).inputs[0];
  const DType a = g.type(x).dtype, b = g.type(middle).dtype, c = g.node(id).outputs[0].dtype;
  if (!holds_all(b, a)) return kNone;
  // Integers to integers keep low bits, floating numbers to integers saturate.
  if (is_integer(a) && is_floating(b) && is_integer(c)) return kNone;
  // The gradient goes c -> b -> a; it must not be rounded twice where it was rounded once.
  if (!g.expanded() && is_floating(a) && a != c && !holds_all(b, c)) return kNone;
  return a == c ? x : g.add(g.cast, {x}, {{"dtype", c}}, id);
}

Value twice(AlgebraView& g, NodeId id) {
  const Value inner = g.in(id, 0);
  return g.node(inner).op == g.node(id).op ? g.node(inner).inputs[0] : kNone;
}

Value neg_product(AlgebraView& g, NodeId id) {
  const Value a = g.in(id, 0), b = g.in(id, 1);
  if (!g.is(a, g.neg) || !g.is(b, g.neg)) return kNone;
  return g.add(*g.node(id).op, {g.node(a).inputs[0], g.node(b).inputs[0]}, {}, id);
}

Value add_neg(AlgebraView& g, NodeId id) {
  for (size_t i = 2; i-- > 0;)
    if (const Value negative = g.in(id, i); g.is(negative, g.neg))
      return g.add(g.sub, {g.in(id, 1 - i), g.node(negative).inputs[0]}, {}, id);
  return kNone;
}

Value sub_neg(AlgebraView& g, NodeId id) {
  const Value negative = g.in(id, 1);
  return g.is(negative, g.neg) ? g.add(g.add_op, {g.in(id, 0), g.node(negative).inputs[0]}, {}, id) : kNone;
}

Value where_not(AlgebraView& g, NodeId id) {
  const Value condition = g.in(id, 0);
  if (!g.is(condition, g.logical_not)) return kNone;
  return g.add(g.where, {g.node(condition).inputs[0], g.in(id, 2), g.in(id, 1)}, {}, id);
}

Value where_same(AlgebraView& g, NodeId id) {
  return g.in(id, 1) == g.in(id, 2) ? g.as_result(g.in(id, 1), id) : kNone;
}

// where(c, where(c, a, b), d) = where(c, a, d), and the same for the other branch. A branch that would be
// narrower than the result is broadcast by the op itself.
Value where_where(AlgebraView& g, NodeId id) {
  const Value condition = g.in(id, 0);
  for (size_t branch = 1; branch <= 2; ++branch) {
    const Value inner = g.in(id, branch);
    if (!g.is(inner, g.where) || g.node(inner).inputs[0] != condition) continue;
    std::vector<Value> in = g.node(id).inputs;
    in[branch] = g.node(inner).inputs[branch];
    return g.as_result(g.add(g.where, in, {}, id), id);
  }
  return kNone;
}

Value of_itself(AlgebraView& g, NodeId id) { return g.in(id, 0) == g.in(id, 1) ? g.in(id, 0) : kNone; }

}  // namespace

const std::vector<AlgebraRule>& pointwise_rules() {
  static const auto* rules = new std::vector<AlgebraRule>{
      {"cast_same", {"cast"}, cast_same},
      {"cast_cast", {"cast"}, cast_cast},
      {"neg_neg", {"neg"}, twice},
      {"not_not", {"logical_not"}, twice},
      {"neg_product", {"mul", "div"}, neg_product},
      {"add_neg", {"add"}, add_neg},
      {"sub_neg", {"sub"}, sub_neg},
      {"where_not", {"where"}, where_not},
      {"where_same", {"where"}, where_same, true},
      {"where_where", {"where"}, where_where, true},
      {"maximum_same", {"maximum", "minimum"}, of_itself, true},
      {"logical_same", {"logical_and", "logical_or"}, of_itself},
  };
  return *rules;
}

}  // namespace fovea
