// Sources of arithmetic, logic, casts, constants and reductions.
#include <cmath>

#include "frontends/tools/fuzz/graph_maker.h"

namespace fovea::tools {
namespace {

void unary(GraphMaker& g) {
  const Known* k = g.numeric();
  if (!k) return;
  const Known a = *k;
  switch (g.random.below(8)) {
    case 0:
      return g.keep(neg(a.x), a.bound);
    case 1:
      return g.keep(abs(a.x), a.bound);
    case 2:
      return g.keep(sign(a.x), 1);
    case 3:
      return g.keep(square(a.x), a.bound * a.bound);
    case 4:
      return g.keep(identity(a.x), a.bound);
    case 5:
      return g.keep(stop_gradient(a.x), a.bound);
    case 6:
      return is_floating(a.x.dtype()) ? g.keep(relu(a.x), a.bound) : g.keep(neg(neg(a.x)), a.bound);
    default:
      return is_floating(a.x.dtype()) ? g.keep(floor(a.x), a.bound) : g.keep(neg(a.x), a.bound);
  }
}

void binary(GraphMaker& g) {
  const Known* k = g.numeric();
  if (!k) return;
  const Known a = *k, b = g.random.one_in(6) ? a : g.partner(a);
  const bool swap = g.random.one_in(2);
  const Tensor &x = swap ? b.x : a.x, &y = swap ? a.x : b.x;
  switch (g.random.below(5)) {
    case 0:
      return g.keep(x + y, a.bound + b.bound);
    case 1:
      return g.keep(x - y, a.bound + b.bound);
    case 2:
      return g.keep(x * y, a.bound * b.bound);
    case 3:
      return g.keep(maximum(x, y), std::max(a.bound, b.bound));
    default:
      return g.keep(minimum(x, y), std::max(a.bound, b.bound));
  }
}

void with_number(GraphMaker& g) {
  const Known* k = g.numeric();
  if (!k) return;
  const Known a = *k;
  const bool real = is_floating(a.x.dtype());
  const double c = g.random.of({0.0, -0.0, 1.0, -1.0, 2.0, 4.0, -8.0, 3.0});
  const Tensor n = g.number(a.x, c);
  const double most = std::max(1.0, std::abs(c));
  switch (g.random.below(real ? 6 : 4)) {
    case 0:
      return g.keep(g.random.one_in(2) ? a.x + n : n + a.x, a.bound + most);
    case 1:
      return g.keep(a.x - n, a.bound + most);
    case 2:
      return g.keep(g.random.one_in(2) ? a.x * n : n * a.x, a.bound * most);
    case 3:
      return g.keep(a.x * n * g.number(a.x, 2), a.bound * most * 2);
    case 4:
      return g.keep(a.x / g.number(a.x, g.random.of({1.0, 2.0, -4.0, 0.5, 8.0})), a.bound * 2);
    default:
      return g.keep(a.x * n * g.number(a.x, g.random.of({4.0, 16.0})), a.bound * most * 16);
  }
}

void select(GraphMaker& g) {
  const Known* k = &g.pick();
  const Known a = *k, b = g.partner(a);
  Tensor c = g.partner({cast(a.x, DType::boolean), 1}).x;
  if (g.random.one_in(5)) c = full(Shape{}, static_cast<double>(g.random.below(2)), DType::boolean);
  const double bound = std::max(a.bound, b.bound);
  switch (g.random.below(5)) {
    case 0:
      return g.keep(where(logical_not(c), a.x, b.x), bound);
    case 1:
      return g.keep(where(c, a.x, a.x), bound);
    case 2:
      return g.keep(where(c, where(c, a.x, b.x), b.x), bound);
    case 3:
      return g.keep(where(c, b.x, where(c, b.x, a.x)), bound);
    default:
      return g.keep(where(c, a.x, b.x), bound);
  }
}

void logic(GraphMaker& g) {
  const Known* k = g.boolean();
  if (!k || g.random.one_in(3)) {
    const Known* n = g.numeric();
    if (!n) return;
    const Known a = *n, b = g.partner(a);
    switch (g.random.below(3)) {
      case 0:
        return g.keep(less(a.x, b.x), 1);
      case 1:
        return g.keep(equal(a.x, b.x), 1);
      default:
        return g.keep(greater_equal(a.x, b.x), 1);
    }
  }
  const Known a = *k, b = g.random.one_in(4) ? a : g.partner(a);
  switch (g.random.below(4)) {
    case 0:
      return g.keep(logical_and(a.x, b.x), 1);
    case 1:
      return g.keep(logical_or(a.x, b.x), 1);
    case 2:
      return g.keep(logical_not(logical_not(a.x)), 1);
    default: {
      const Tensor truth = full(Shape{}, static_cast<double>(g.random.below(2)), DType::boolean);
      return g.keep(g.random.one_in(2) ? logical_and(a.x, truth) : logical_or(truth, a.x), 1);
    }
  }
}

// Chains of casts. Special numbers do not fit everywhere: they saturate, wrap around or round.
void casts(GraphMaker& g) {
  const Known a = g.pick();
  const auto type = [&] {
    const DType any = g.random.of({DType::f32, DType::f64, DType::f16, DType::bf16, DType::i64, DType::i32,
                                   DType::i16, DType::i8, DType::u8, DType::boolean});
    const bool narrow = any == DType::f16 || any == DType::bf16 || any == DType::i8 || any == DType::u8 ||
                        any == DType::boolean;
    return narrow && !g.fuzz.special ? g.floating : any;
  };
  if (g.random.one_in(5)) return g.keep(apply1("cast", {a.x}, {{"dtype", a.x.dtype()}}), a.bound);
  const Tensor y =
      cast(apply1("cast", {a.x}, {{"dtype", type()}}), g.random.one_in(3) ? a.x.dtype() : type());
  if (a.bound < 3e4 || g.fuzz.special) g.keep(y, a.bound);  // within i16
}

// A node once more, or with its operands exchanged.
void again(GraphMaker& g) {
  const Known a = g.pick();
  const Node node = g.builder->graph().nodes[a.x.value().node];
  if (node.op->is_random() || node.op->name() == "input" || node.op->name() == "constant") return;
  for (const auto& [name, value] : node.attrs)
    if (std::holds_alternative<FunctionRef>(value)) return;
  std::vector<Tensor> in;
  for (const Value& v : node.inputs) in.push_back(g.builder->tensor(v));
  if (node.op->is_commutative() && g.random.one_in(2)) std::swap(in[0], in[1]);
  const Tensor twin = apply(node.op->name(), in, node.attrs)[static_cast<size_t>(a.x.value().index)];
  g.pool.push_back({twin, a.bound});
  if (a.x.dtype() != DType::boolean) g.keep(a.x + twin, 2 * a.bound);
}

void positions(GraphMaker& g) {
  const Dims shape = g.random_shape();
  if (shape.empty()) return;
  const DType dtype = g.random.of({DType::i32, DType::i64, g.floating});
  const Tensor i = iota(to_shape(shape), g.random.below(static_cast<int64_t>(shape.size())), dtype);
  g.keep(i, 4);
  if (g.random.one_in(2)) g.keep(less(iota(to_shape(shape), 0), iota(to_shape(shape), 0) + 1), 1);
}

void constants(GraphMaker& g) {
  Tensor c = g.constant(g.random.one_in(2) ? g.floating : DType::i32, g.random_shape());
  if (g.random.one_in(2)) c = -c;
  if (g.random.one_in(2)) c = permute(c, g.some_order(c.rank()));
  if (g.random.one_in(2)) c = c * 2.0;
  g.keep(cast(c, g.random.one_in(2) ? g.floating : DType::i32), 6);
  const Tensor one = full(to_shape(g.random_shape()), 2, g.floating) * full(Shape{}, 3, g.floating);
  if (g.random.one_in(3)) g.keep(-one, 6);
}

void negations(GraphMaker& g) {
  const Known* k = g.numeric();
  if (!k) return;
  const Known a = *k, b = g.partner(a);
  switch (g.random.below(4)) {
    case 0:
      return g.keep(neg(a.x) * neg(b.x), a.bound * b.bound);
    case 1:
      return g.keep(a.x + neg(b.x), a.bound + b.bound);
    case 2:
      return g.keep(neg(b.x) + a.x, a.bound + b.bound);
    default:
      return g.keep(a.x - neg(b.x), a.bound + b.bound);
  }
}

void reduced(GraphMaker& g) {
  const Known* k = g.numeric();
  if (!k || k->x.rank() == 0) return;
  Known a = *k;
  int64_t axis = g.some_axis(a.x);
  const bool keepdims = g.random.one_in(2);
  if (g.random.one_in(3)) {
    a.x = unsqueeze(a.x, axis);  // a reduction of one element
    if (g.random.one_in(2) && is_floating(a.x.dtype())) a.x = square(a.x), a.bound *= a.bound;
  }
  const auto n = static_cast<double>(dims_of(a.x)[static_cast<size_t>(axis)]);
  switch (g.random.below(n <= 3 ? 4 : 3)) {
    case 0:
      return g.keep(sum(a.x, {axis}, keepdims), a.bound * n);
    case 1:
      return g.keep(max(a.x, {axis}, keepdims), a.bound);
    case 2:
      return g.keep(min(a.x, {axis}, keepdims), a.bound);
    default:
      return g.keep(prod(a.x, {axis}, keepdims), std::pow(a.bound, n));
  }
}

void products(GraphMaker& g) {
  const Known* k = g.pick_where([](const Tensor& x) { return is_floating(x.dtype()) && x.rank() >= 2; });
  if (!k || g.fuzz.special) return;
  const Known a = *k;
  const Dims shape = dims_of(a.x);
  const int64_t m = shape[shape.size() - 2], n = shape.back();
  if (g.random.one_in(2))
    return g.keep(matmul(a.x, transpose(a.x, -1, -2)), a.bound * a.bound * static_cast<double>(n));
  const Tensor w = g.constant(a.x.dtype(), {m, 2});
  g.keep(matmul(transpose(a.x, -1, -2), w), 3 * a.bound * static_cast<double>(m));
}

}  // namespace

const std::vector<GraphSource>& number_sources() {
  static const std::vector<GraphSource> sources = {unary,     binary,    with_number, select,
                                                   logic,     casts,     again,       positions,
                                                   constants, negations, reduced,     products};
  return sources;
}

const std::vector<GraphSource>& special_sources() {
  static const std::vector<GraphSource> sources = {casts, with_number, with_number};
  return sources;
}

}  // namespace fovea::tools
