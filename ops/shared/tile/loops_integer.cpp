// 64-bit integers on the tile machine: plain loops, for they are rare.
#include <cstring>

#include "ops/shared/tile/machine_loops.h"
#include "ops/shared/tile/scalar.h"

namespace fovea::tiles {
namespace {

template <class M>
constexpr M mask_of(bool truth) {
  return truth ? static_cast<M>(~M{0}) : M{0};
}

// Y = f(A...) for every element; operands that do not step are read at 0.
template <class Y, class A, class F>
void each1(const Loop& l, F f) {
  const int64_t sa = l.steps & 1;
  for (int64_t r = 0; r < l.rows; ++r) {
    const A* a = reinterpret_cast<const A*>(l.a + r * l.a_row);
    Y* y = reinterpret_cast<Y*>(l.y + r * l.y_row);
    for (int64_t i = 0; i < l.n; ++i) y[i] = f(a[i * sa]);
  }
}
template <class Y, class A, class F>
void each2(const Loop& l, F f) {
  const int64_t sa = l.steps & 1, sb = l.steps >> 1 & 1;
  for (int64_t r = 0; r < l.rows; ++r) {
    const A* a = reinterpret_cast<const A*>(l.a + r * l.a_row);
    const A* b = reinterpret_cast<const A*>(l.b + r * l.b_row);
    Y* y = reinterpret_cast<Y*>(l.y + r * l.y_row);
    for (int64_t i = 0; i < l.n; ++i) y[i] = f(a[i * sa], b[i * sb]);
  }
}

template <Code kCode>
void unary(const Loop& l) {
  each1<int64_t, int64_t>(l, [](int64_t a) { return integer_unary(kCode, a); });
}
template <Code kCode>
void binary(const Loop& l) {
  each2<int64_t, int64_t>(l, [](int64_t a, int64_t b) { return integer_binary(kCode, a, b); });
}
template <Code kCode, class M>
void comparison(const Loop& l) {
  each2<M, int64_t>(l, [](int64_t a, int64_t b) { return mask_of<M>(compare(kCode, a, b)); });
}
template <class M>
void select(const Loop& l) {
  const int64_t sa = l.steps & 1, sb = l.steps >> 1 & 1, sc = l.steps >> 2 & 1;
  for (int64_t r = 0; r < l.rows; ++r) {
    const M* a = reinterpret_cast<const M*>(l.a + r * l.a_row);
    const int64_t* b = reinterpret_cast<const int64_t*>(l.b + r * l.b_row);
    const int64_t* c = reinterpret_cast<const int64_t*>(l.c + r * l.c_row);
    int64_t* y = reinterpret_cast<int64_t*>(l.y + r * l.y_row);
    for (int64_t i = 0; i < l.n; ++i) y[i] = a[i * sa] != 0 ? b[i * sb] : c[i * sc];
  }
}

template <class T, class M>
LoopFn from_integers(Op op) {
  switch (static_cast<Code>(op)) {
    case Code::neg:
      return &unary<Code::neg>;
    case Code::abs:
      return &unary<Code::abs>;
    case Code::sign:
      return &unary<Code::sign>;
    case Code::add:
      return &binary<Code::add>;
    case Code::sub:
      return &binary<Code::sub>;
    case Code::mul:
      return &binary<Code::mul>;
    case Code::div:
      return &binary<Code::div>;
    case Code::maximum:
      return &binary<Code::maximum>;
    case Code::minimum:
      return &binary<Code::minimum>;
    case Code::pow:
      return &binary<Code::pow>;
    case Code::mod:
      return &binary<Code::mod>;
    case Code::floor_div:
      return &binary<Code::floor_div>;
    case Code::less:
      return &comparison<Code::less, M>;
    case Code::less_equal:
      return &comparison<Code::less_equal, M>;
    case Code::equal:
      return &comparison<Code::equal, M>;
    case Code::not_equal:
      return &comparison<Code::not_equal, M>;
    case Code::select:
      return &select<M>;
    case Code::to_real:
      return [](const Loop& l) { each1<T, int64_t>(l, [](int64_t a) { return static_cast<T>(a); }); };
    case Code::to_boolean:
      return [](const Loop& l) { each1<M, int64_t>(l, [](int64_t a) { return mask_of<M>(a != 0); }); };
    default:
      return nullptr;
  }
}

template <class T, class M>
LoopFn to_integers(Op op, Rep rep) {
  if (op == Op::widen)
    return [](const Loop& l) { each1<int64_t, int32_t>(l, [](int32_t a) { return int64_t{a}; }); };
  if (op != op_of(Code::to_integer)) return nullptr;
  if (rep == Rep::mask)
    return [](const Loop& l) { each1<int64_t, M>(l, [](M a) { return static_cast<int64_t>(a & 1); }); };
  return [](const Loop& l) { each1<int64_t, T>(l, [](T a) { return integer_of(static_cast<double>(a)); }); };
}

}  // namespace

LoopFn find_integer_loop(Op op, Rep rep, Rep result, DType compute) {
  const bool wide = compute == DType::f64;
  if (rep == Rep::i64) return wide ? from_integers<double, uint64_t>(op) : from_integers<float, uint32_t>(op);
  if (result != Rep::i64) return nullptr;
  return wide ? to_integers<double, uint64_t>(op, rep) : to_integers<float, uint32_t>(op, rep);
}

}  // namespace fovea::tiles
