// Random typed graphs, rich in what the clean-up rules look for.
#include <algorithm>
#include <cmath>
#include <limits>

#include "framework/base/error.h"
#include "frontends/cpp/fovea.h"
#include "frontends/tools/fuzz/cases.h"
#include "graph/build/builder.h"

namespace fovea::tools {
namespace {

constexpr double kMostMagnitude = 1e5;  // products of two such numbers are exact in f64
constexpr int64_t kMostElements = 96;

Dims dims_of(const Tensor& x) { return evaluate(x.shape(), {}); }
int64_t elements(const Tensor& x) { return product(dims_of(x)); }

// A value and a bound of its magnitude.
struct Known {
  Tensor x;
  double bound;
};

class GraphMaker {
 public:
  GraphMaker(Random& random, FuzzCase& fuzz) : r_(random), fuzz_(fuzz) {
    floating_ = fuzz.special ? r_.of({DType::f32, DType::f64, DType::f16}) : r_.of({DType::f32, DType::f64});
    builder_ = Builder::make(fuzz.module, "main");
    for (int i = 0; i < 3; ++i) argument(floating_, random_shape());
    argument(r_.of({DType::i32, DType::i64, DType::i16}), random_shape());
    argument(DType::boolean, random_shape());
    TraceScope trace(builder_);
    const int64_t wanted = r_.between(4, 12);
    for (int64_t i = 0; i < wanted; ++i) step();
    finish();
  }

 private:
  Dims random_shape() {
    Dims shape(static_cast<size_t>(r_.below(4)));
    for (int64_t& d : shape) d = r_.of({1, 2, 2, 3, 3, 4});
    return shape;
  }

  void argument(DType dtype, const Dims& shape) {
    Array a = random_array(r_, dtype, shape, true);
    if (fuzz_.special && is_integer(dtype))
      for (int64_t i = 0; i < a.size(); ++i) a.set_flat(i, static_cast<double>(r_.between(-300, 300)));
    if (fuzz_.special && is_floating(dtype))
      for (int64_t i = 0; i < a.size(); ++i)
        if (!r_.one_in(3))
          a.set_flat(i, r_.of({0.0, -0.0, std::nan(""), HUGE_VAL, -HUGE_VAL, 1e-40, -6e-8, 6e4, 3e38, 0.1}));
    fuzz_.arguments.push_back(a);
    pool_.push_back({builder_->input("", {dtype, to_shape(shape)}), 3});
  }

  const Known& pick() {
    const auto n = static_cast<int64_t>(pool_.size());
    return pool_[static_cast<size_t>(r_.one_in(2) ? n - 1 - r_.below(std::min<int64_t>(4, n)) : r_.below(n))];
  }
  template <class F>
  const Known* pick_where(F&& wanted) {
    for (int tries = 0; tries < 6; ++tries)
      if (const Known& k = pick(); wanted(k.x)) return &k;
    return nullptr;
  }
  const Known* numeric() {
    return pick_where([](const Tensor& x) { return x.dtype() != DType::boolean; });
  }
  const Known* real() {
    return pick_where([](const Tensor& x) { return is_floating(x.dtype()); });
  }
  const Known* boolean() {
    return pick_where([](const Tensor& x) { return x.dtype() == DType::boolean; });
  }

  void keep(const Tensor& x, double bound) {
    if (bound <= kMostMagnitude || fuzz_.special) pool_.push_back({x, bound});
  }

  // The shape of x with a few axes 1 or left out: it broadcasts against x.
  Dims narrower(const Tensor& x) {
    Dims shape = dims_of(x);
    for (int64_t& d : shape)
      if (r_.one_in(3)) d = 1;
    while (!shape.empty() && r_.one_in(4)) shape.erase(shape.begin());
    return shape;
  }
  Tensor number(const Tensor& beside, double value) {
    return full(to_shape(r_.one_in(3) ? narrower(beside) : Dims{}), value, beside.dtype());
  }
  // A partner for x: of its type, broadcasting against it.
  Known partner(const Known& k) {
    const DType dtype = k.x.dtype();
    const Dims shape = dims_of(k.x);
    const Known* found = pick_where([&](const Tensor& y) {
      const Dims other = dims_of(y);
      if (y.dtype() != dtype || other.size() > shape.size()) return false;
      for (size_t d = 0; d < other.size(); ++d) {
        const int64_t want = shape[shape.size() - other.size() + d];
        if (other[d] != want && other[d] != 1) return false;
      }
      return true;
    });
    if (found) return *found;
    if (r_.one_in(2)) return {constant(dtype, narrower(k.x)), 3};
    return {number(k.x, dtype == DType::boolean ? static_cast<double>(r_.below(2)) : 2), 2};
  }
  Tensor constant(DType dtype, const Dims& shape) {
    return builder_->constant(random_array(r_, dtype, shape, true));
  }

  void step() {
    if (fuzz_.special && r_.one_in(3)) return r_.one_in(3) ? casts() : with_number();
    switch (r_.below(20)) {
      case 0:
        return unary();
      case 1:
        return binary();
      case 2:
        return with_number();
      case 3:
        return select();
      case 4:
        return logic();
      case 5:
        return reshaped();
      case 6:
        return permuted();
      case 7:
        return broadcast();
      case 8:
        return sliced();
      case 9:
        return padded();
      case 10:
        return reduced();
      case 11:
        return products();
      case 12:
        return casts();
      case 13:
        return again();
      case 14:
        return pieces();
      case 15:
        return positions();
      case 16:
        return constants();
      case 17:
        return negations();
      case 18:
        return concatenated();
      default:
        return rare();
    }
  }

  void unary() {
    const Known* k = numeric();
    if (!k) return;
    const Known a = *k;
    switch (r_.below(8)) {
      case 0:
        return keep(neg(a.x), a.bound);
      case 1:
        return keep(abs(a.x), a.bound);
      case 2:
        return keep(sign(a.x), 1);
      case 3:
        return keep(square(a.x), a.bound * a.bound);
      case 4:
        return keep(identity(a.x), a.bound);
      case 5:
        return keep(stop_gradient(a.x), a.bound);
      case 6:
        return is_floating(a.x.dtype()) ? keep(relu(a.x), a.bound) : keep(neg(neg(a.x)), a.bound);
      default:
        return is_floating(a.x.dtype()) ? keep(floor(a.x), a.bound) : keep(neg(a.x), a.bound);
    }
  }

  void binary() {
    const Known* k = numeric();
    if (!k) return;
    const Known a = *k, b = r_.one_in(6) ? a : partner(a);
    const bool swap = r_.one_in(2);
    const Tensor &x = swap ? b.x : a.x, &y = swap ? a.x : b.x;
    switch (r_.below(5)) {
      case 0:
        return keep(x + y, a.bound + b.bound);
      case 1:
        return keep(x - y, a.bound + b.bound);
      case 2:
        return keep(x * y, a.bound * b.bound);
      case 3:
        return keep(maximum(x, y), std::max(a.bound, b.bound));
      default:
        return keep(minimum(x, y), std::max(a.bound, b.bound));
    }
  }

  void with_number() {
    const Known* k = numeric();
    if (!k) return;
    const Known a = *k;
    const bool real = is_floating(a.x.dtype());
    const double c = r_.of({0.0, -0.0, 1.0, -1.0, 2.0, 4.0, -8.0, 3.0});
    const Tensor n = number(a.x, c);
    const double most = std::max(1.0, std::abs(c));
    switch (r_.below(real ? 6 : 4)) {
      case 0:
        return keep(r_.one_in(2) ? a.x + n : n + a.x, a.bound + most);
      case 1:
        return keep(a.x - n, a.bound + most);
      case 2:
        return keep(r_.one_in(2) ? a.x * n : n * a.x, a.bound * most);
      case 3:
        return keep(a.x * n * number(a.x, 2), a.bound * most * 2);
      case 4:
        return keep(a.x / number(a.x, r_.of({1.0, 2.0, -4.0, 0.5, 8.0})), a.bound * 2);
      default:
        return keep(a.x * n * number(a.x, r_.of({4.0, 16.0})), a.bound * most * 16);
    }
  }

  void select() {
    const Known* k = &pick();
    const Known a = *k, b = partner(a);
    Tensor c = partner({cast(a.x, DType::boolean), 1}).x;
    if (r_.one_in(5)) c = full(Shape{}, static_cast<double>(r_.below(2)), DType::boolean);
    const double bound = std::max(a.bound, b.bound);
    switch (r_.below(5)) {
      case 0:
        return keep(where(logical_not(c), a.x, b.x), bound);
      case 1:
        return keep(where(c, a.x, a.x), bound);
      case 2:
        return keep(where(c, where(c, a.x, b.x), b.x), bound);
      case 3:
        return keep(where(c, b.x, where(c, b.x, a.x)), bound);
      default:
        return keep(where(c, a.x, b.x), bound);
    }
  }

  void logic() {
    const Known* k = boolean();
    if (!k || r_.one_in(3)) {
      const Known* n = numeric();
      if (!n) return;
      const Known a = *n, b = partner(a);
      switch (r_.below(3)) {
        case 0:
          return keep(less(a.x, b.x), 1);
        case 1:
          return keep(equal(a.x, b.x), 1);
        default:
          return keep(greater_equal(a.x, b.x), 1);
      }
    }
    const Known a = *k, b = r_.one_in(4) ? a : partner(a);
    switch (r_.below(4)) {
      case 0:
        return keep(logical_and(a.x, b.x), 1);
      case 1:
        return keep(logical_or(a.x, b.x), 1);
      case 2:
        return keep(logical_not(logical_not(a.x)), 1);
      default: {
        const Tensor truth = full(Shape{}, static_cast<double>(r_.below(2)), DType::boolean);
        return keep(r_.one_in(2) ? logical_and(a.x, truth) : logical_or(truth, a.x), 1);
      }
    }
  }

  // Another shape for as many elements.
  Dims regrouped(const Tensor& x) {
    int64_t left = elements(x);
    Dims shape;
    while (left > 1 && shape.size() < 3) {
      std::vector<int64_t> divisors;
      for (int64_t d = 2; d <= left; ++d)
        if (left % d == 0) divisors.push_back(d);
      shape.push_back(r_.of(divisors));
      left /= shape.back();
    }
    if (left != 1) shape.push_back(left);
    if (r_.one_in(3)) shape.insert(shape.begin() + r_.below(static_cast<int64_t>(shape.size()) + 1), 1);
    return shape;
  }
  void reshaped() {
    const Known a = pick();
    if (elements(a.x) == 0) return;
    const Tensor y = reshape(a.x, to_shape(regrouped(a.x)));
    switch (r_.below(3)) {
      case 0:
        return keep(reshape(y, a.x.shape()), a.bound);
      case 1:
        return keep(reshape(y, to_shape(regrouped(a.x))), a.bound);
      default:
        return keep(y, a.bound);
    }
  }

  Ints some_order(int64_t rank) {
    Ints axes(static_cast<size_t>(rank));
    for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(i);
    for (size_t i = axes.size(); i > 1; --i) std::swap(axes[i - 1], axes[static_cast<size_t>(r_.below(i))]);
    return axes;
  }
  void permuted() {
    const Known a = pick();
    const Ints axes = some_order(a.x.rank());
    const Tensor y = permute(a.x, axes);
    if (!r_.one_in(3)) return keep(y, a.bound);
    Ints back(axes.size());
    for (size_t i = 0; i < axes.size(); ++i) back[static_cast<size_t>(axes[i])] = static_cast<int64_t>(i);
    keep(permute(y, r_.one_in(2) ? back : some_order(a.x.rank())), a.bound);
  }

  void broadcast() {
    const Known a = pick();
    Dims shape = dims_of(a.x);
    for (int64_t& d : shape)
      if (d == 1 && r_.one_in(2)) d = 2;
    Tensor y = broadcast_to(a.x, to_shape(shape));
    if (shape.size() < 4 && r_.one_in(2)) {
      shape.insert(shape.begin(), 2);
      y = broadcast_to(y, to_shape(shape));
    }
    if (product(shape) <= kMostElements) keep(y, a.bound);
  }

  // A slice along one axis; the bounds go to begin and end.
  int64_t some_axis(const Tensor& x) { return r_.below(x.rank()); }
  void sliced() {
    const Known a = pick();
    if (a.x.rank() == 0) return;
    const int64_t axis = some_axis(a.x), n = dims_of(a.x)[static_cast<size_t>(axis)];
    const int64_t begin = r_.below(n + 1), end = r_.between(begin, n);
    Tensor y = slice(a.x, axis, begin, end, r_.one_in(5) ? 2 : 1);
    const int64_t m = dims_of(y)[static_cast<size_t>(axis)];
    if (r_.one_in(2) && m > 0) y = slice(y, axis, r_.below(m), m);
    if (r_.one_in(6)) y = slice(a.x, axis, 0, n);
    if (elements(y) > 0) keep(y, a.bound);
  }

  void padded() {
    const Known a = pick();
    if (a.x.rank() == 0) return;
    const auto rank = static_cast<size_t>(a.x.rank());
    const auto axis = static_cast<size_t>(some_axis(a.x));
    const double value = a.x.dtype() == DType::boolean ? 0.0 : r_.of({0.0, -0.0, 1.0});
    const auto around = [&](const Tensor& x, int64_t low, int64_t high) {
      Shape before(rank, Dim(0)), behind(rank, Dim(0));
      before[axis] = low;
      behind[axis] = high;
      return pad(x, before, behind, {}, value);
    };
    const int64_t low = r_.below(3), high = r_.below(3), n = dims_of(a.x)[axis];
    Tensor y = around(a.x, low, high);
    const auto along = static_cast<int64_t>(axis);
    switch (r_.below(5)) {
      case 0:
        y = around(y, r_.below(2), r_.below(2));
        break;
      case 1:
        y = slice(y, along, low, low + n);
        break;
      case 2:
        if (low > 0) y = slice(y, along, 0, low);
        break;
      default:
        break;
    }
    if (elements(y) <= kMostElements && elements(y) > 0) keep(y, a.bound + 1);
  }

  void reduced() {
    const Known* k = numeric();
    if (!k || k->x.rank() == 0) return;
    Known a = *k;
    int64_t axis = some_axis(a.x);
    const bool keepdims = r_.one_in(2);
    if (r_.one_in(3)) {
      a.x = unsqueeze(a.x, axis);  // a reduction of one element
      if (r_.one_in(2) && is_floating(a.x.dtype())) a.x = square(a.x), a.bound *= a.bound;
    }
    const auto n = static_cast<double>(dims_of(a.x)[static_cast<size_t>(axis)]);
    switch (r_.below(n <= 3 ? 4 : 3)) {
      case 0:
        return keep(sum(a.x, {axis}, keepdims), a.bound * n);
      case 1:
        return keep(max(a.x, {axis}, keepdims), a.bound);
      case 2:
        return keep(min(a.x, {axis}, keepdims), a.bound);
      default:
        return keep(prod(a.x, {axis}, keepdims), std::pow(a.bound, n));
    }
  }

  void products() {
    const Known* k = pick_where([](const Tensor& x) { return is_floating(x.dtype()) && x.rank() >= 2; });
    if (!k || fuzz_.special) return;
    const Known a = *k;
    const Dims shape = dims_of(a.x);
    const int64_t m = shape[shape.size() - 2], n = shape.back();
    if (r_.one_in(2))
      return keep(matmul(a.x, transpose(a.x, -1, -2)), a.bound * a.bound * static_cast<double>(n));
    const Tensor w = constant(a.x.dtype(), {m, 2});
    keep(matmul(transpose(a.x, -1, -2), w), 3 * a.bound * static_cast<double>(m));
  }

  // Chains of casts. Special numbers do not fit everywhere: they saturate, wrap around or round.
  void casts() {
    const Known a = pick();
    const auto type = [&] {
      const DType any = r_.of({DType::f32, DType::f64, DType::f16, DType::bf16, DType::i64, DType::i32,
                               DType::i16, DType::i8, DType::u8, DType::boolean});
      const bool narrow = any == DType::f16 || any == DType::bf16 || any == DType::i8 || any == DType::u8 ||
                          any == DType::boolean;
      return narrow && !fuzz_.special ? floating_ : any;
    };
    if (r_.one_in(5)) return keep(apply1("cast", {a.x}, {{"dtype", a.x.dtype()}}), a.bound);
    const Tensor y = cast(apply1("cast", {a.x}, {{"dtype", type()}}), r_.one_in(3) ? a.x.dtype() : type());
    if (a.bound < 3e4 || fuzz_.special) keep(y, a.bound);  // within i16
  }

  // A node once more, or with its operands exchanged.
  void again() {
    const Known a = pick();
    const Node node = builder_->graph().nodes[a.x.value().node];
    if (node.op->is_random() || node.op->name() == "input" || node.op->name() == "constant") return;
    for (const auto& [name, value] : node.attrs)
      if (std::holds_alternative<FunctionRef>(value)) return;
    std::vector<Tensor> in;
    for (const Value& v : node.inputs) in.push_back(builder_->tensor(v));
    if (node.op->is_commutative() && r_.one_in(2)) std::swap(in[0], in[1]);
    const Tensor twin = apply(node.op->name(), in, node.attrs)[static_cast<size_t>(a.x.value().index)];
    pool_.push_back({twin, a.bound});
    if (a.x.dtype() != DType::boolean) keep(a.x + twin, 2 * a.bound);
  }

  // Slices of a tensor, each worked on, put back in their places with zeros around and added.
  void pieces() {
    const Known* k = pick_where(
        [](const Tensor& x) { return is_floating(x.dtype()) && x.rank() >= 1 && elements(x) >= 2; });
    if (!k || fuzz_.special) return;
    const Known a = *k;
    const int64_t axis = some_axis(a.x), n = dims_of(a.x)[static_cast<size_t>(axis)];
    if (n < 2) return;
    const int64_t cut = r_.between(1, n - 1);
    auto parts = split(a.x, {cut, n - cut}, axis);
    const auto rank = static_cast<size_t>(a.x.rank());
    Tensor total;
    if (r_.one_in(3)) total = square(a.x);
    if (r_.one_in(2)) std::swap(parts[0], parts[1]);
    int64_t at = dims_of(parts[0])[static_cast<size_t>(axis)] == cut && parts.size() == 2 ? 0 : cut;
    for (const Tensor& p : parts) {
      const int64_t m = dims_of(p)[static_cast<size_t>(axis)];
      Shape low(rank, Dim(0)), high(rank, Dim(0));
      low[static_cast<size_t>(axis)] = std::min(at, n - m);
      high[static_cast<size_t>(axis)] = n - m - std::min(at, n - m);
      const Tensor piece = pad(r_.one_in(2) ? -p : p, low, high, {}, 0);
      total = total.defined() ? (r_.one_in(2) ? total + piece : piece + total) : piece;
      at = at == 0 ? m : 0;
    }
    keep(total, a.bound * a.bound + a.bound);
    if (r_.one_in(2)) keep(concat(split(a.x, {cut, n - cut}, axis), axis), a.bound);
  }

  void positions() {
    const Dims shape = random_shape();
    if (shape.empty()) return;
    const DType dtype = r_.of({DType::i32, DType::i64, floating_});
    const Tensor i = iota(to_shape(shape), r_.below(static_cast<int64_t>(shape.size())), dtype);
    keep(i, 4);
    if (r_.one_in(2)) keep(less(iota(to_shape(shape), 0), iota(to_shape(shape), 0) + 1), 1);
  }

  void constants() {
    Tensor c = constant(r_.one_in(2) ? floating_ : DType::i32, random_shape());
    if (r_.one_in(2)) c = -c;
    if (r_.one_in(2)) c = permute(c, some_order(c.rank()));
    if (r_.one_in(2)) c = c * 2.0;
    keep(cast(c, r_.one_in(2) ? floating_ : DType::i32), 6);
    const Tensor one = full(to_shape(random_shape()), 2, floating_) * full(Shape{}, 3, floating_);
    if (r_.one_in(3)) keep(-one, 6);
  }

  void negations() {
    const Known* k = numeric();
    if (!k) return;
    const Known a = *k, b = partner(a);
    switch (r_.below(4)) {
      case 0:
        return keep(neg(a.x) * neg(b.x), a.bound * b.bound);
      case 1:
        return keep(a.x + neg(b.x), a.bound + b.bound);
      case 2:
        return keep(neg(b.x) + a.x, a.bound + b.bound);
      default:
        return keep(a.x - neg(b.x), a.bound + b.bound);
    }
  }

  void concatenated() {
    const Known a = pick();
    if (a.x.rank() == 0) return;
    const int64_t axis = some_axis(a.x), n = dims_of(a.x)[static_cast<size_t>(axis)];
    if (r_.one_in(4)) return keep(apply1("concat", {a.x}, {{"axis", axis}}), a.bound);
    const Tensor y = concat({a.x, constant(a.x.dtype(), dims_of(a.x))}, axis);
    if (elements(y) > kMostElements) return;
    const int64_t begin = r_.below(2 * n), end = r_.between(begin + 1, 2 * n);
    keep(r_.one_in(2) ? y : slice(y, axis, begin, end), a.bound + 3);
  }

  // Random numbers, functions, loops and branches: dear, so they come seldom.
  void rare() {
    const Known* k = real();
    if (!k || !r_.one_in(3)) return;
    const Known a = *k;
    switch (r_.below(13)) {
      case 0: {
        const Tensor key = builder_->constant(Array::of(std::vector<int64_t>{r_.below(9), 1}, {2}));
        return keep(dropout(a.x, key, 0.5), 2 * a.bound);
      }
      case 1:
        return keep(checkpoint(body())({a.x})[0], 2 * a.bound + 1);
      case 2:
        return keep(compile(body())({a.x})[0], 2 * a.bound + 1);
      case 3:
        return keep(cond(sum(a.x) > 0.0, body(), body(), {a.x})[0], 2 * a.bound + 1);
      case 4:
      case 5:
        return projected(a);
      case 6:
        return loss(a);
      case 7:
        return chain(a);
      case 8:
        return additive(a);
      case 9:
        return residual(a);
      case 10:
        return layer_gradients(a);
      case 11: {
        const Tensor xs = broadcast_to(unsqueeze(a.x, 0), [&] {
          Shape s = a.x.shape();
          s.insert(s.begin(), 2);
          return s;
        }());
        if (a.x.rank() > 3) return;
        const auto out = scan(
            [](const std::vector<Tensor>& in) {
              const Tensor next = in[0] * 1.0 + in[1];
              return std::vector<Tensor>{next, neg(neg(next))};
            },
            {a.x}, {xs});
        keep(out[0], 3 * a.bound);
        return keep(out[1], 3 * a.bound);
      }
      default: {
        if (a.bound > 300) return;
        const Function f = [](const std::vector<Tensor>& in) {
          return std::vector<Tensor>{sum(square(in[0] * 1.0))};
        };
        return keep(grad(f)({a.x})[0], 2 * a.bound);
      }
    }
  }
  // Cheap operations one behind the other over a tensor that is large enough for them to run as one.
  void chain(const Known& small) {
    constexpr int64_t kMany = 4096;
    if (elements(small.x) == 0) return;
    Shape shape = small.x.shape();
    shape.insert(shape.begin(), (kMany + elements(small.x) - 1) / elements(small.x));
    const Known a{broadcast_to(small.x, shape) + cast(iota(shape, 0) < 7, small.x.dtype()), small.bound + 1};
    Known y = a;
    for (int64_t i = r_.between(4, 7); i > 0; --i) switch (r_.below(5)) {
        case 0:
          y = {y.x + 3.0, y.bound + 3};
          break;
        case 1:
          y = {y.x * 3.0, y.bound * 3};
          break;
        case 2:
          y = {relu(y.x - 1.0), y.bound + 1};
          break;
        case 3:
          y = {minimum(y.x, 5.0), std::max(y.bound, 5.0)};
          break;
        default:
          y = {y.x + a.x, y.bound + a.bound};
      }
    keep(select_index(y.x, 0, r_.below(16)), y.bound);
  }
  // A product with constant weights, wide enough to be packed, and what rides on it.
  void projected(const Known& a) {
    constexpr int64_t kWide = 48;
    if (a.x.rank() == 0 || fuzz_.special || elements(a.x) == 0) return;
    const int64_t depth = dims_of(a.x).back();
    const Tensor x = cast(a.x, DType::f32);
    Tensor y = r_.one_in(2) ? linear(x, constant(DType::f32, {kWide, depth}))
                            : matmul(x, constant(DType::f32, {depth, kWide}));
    if (r_.one_in(2)) y = y + constant(DType::f32, {kWide});
    if (r_.one_in(2)) y = relu(y);
    if (!r_.one_in(3)) y = y + constant(DType::f32, dims_of(y));
    const double bound = 3 * a.bound * static_cast<double>(depth) + 6;
    keep(sum(y, {-1}), bound * kWide);
  }

  // Scores of additive attention: real numbers, equal up to rounding.
  void additive(const Known& a) {
    if (fuzz_.special || a.bound > 10 || a.x.rank() != 2 || elements(a.x) == 0) return;
    const Tensor keys = unsqueeze(cast(a.x, DType::f32), 0) * 0.25;
    const int64_t width = dims_of(a.x)[1];
    const Tensor t = tanh(keys + constant(DType::f32, {2, 1, width}) * 0.25);
    switch (r_.below(3)) {
      case 0:
        losses_.push_back(linear(t, constant(DType::f32, {1, width})));
        break;
      case 1:
        losses_.push_back(matmul(t, constant(DType::f32, {width, 1})));
        break;
      default:
        losses_.push_back(sum(t * constant(DType::f32, {width}), {-1}));
    }
    fuzz_.tolerance = 1e-4;
  }

  // Sums between two layers and their norms, with dropout and without: real numbers, equal up to rounding.
  void residual(const Known& a) {
    if (fuzz_.special || elements(a.x) == 0) return;
    const Tensor rows = a.x.rank() == 0 ? unsqueeze(a.x, 0) : a.x;
    const Tensor x = cast(rows, DType::f32) * (1 / (1 + a.bound));
    const Dims shape = dims_of(x), row = {shape.back()};
    const Tensor key = builder_->constant(Array::of(std::vector<int64_t>{r_.below(9), 1}, {2}));
    for (const bool drops : {true, false}) {
      const Tensor branch = constant(DType::f32, shape) * 0.25;
      const Tensor added = drops ? dropout(branch, key, 0.25) : branch;
      const Tensor y = r_.one_in(2) ? x + added : added + x;
      const Tensor gamma = constant(DType::f32, row);
      // The large eps keeps equal numbers in a row from magnifying their rounding.
      losses_.push_back(r_.one_in(2) ? layer_norm(y, gamma, constant(DType::f32, row), 1.0)
                                     : rms_norm(y, gamma, 1.0));
      if (r_.one_in(2)) losses_.push_back(y * 2.0);
    }
    fuzz_.tolerance = 1e-4;
  }

  // Gradients of the biases of a layer with a residual: real numbers, equal up to rounding.
  void layer_gradients(const Known& a) {
    if (fuzz_.special || elements(a.x) == 0 || a.x.rank() > 3) return;
    const Tensor rows = a.x.rank() == 0 ? unsqueeze(a.x, 0) : a.x;
    const Tensor x = broadcast_to(cast(rows, DType::f32) * (1 / (1 + a.bound)), [&] {
      Shape shape = rows.shape();
      shape.insert(shape.begin(), 2);
      return shape;
    }());
    const Dims row = {dims_of(rows).back()};
    const Tensor shift = constant(DType::f32, row) * 0.25 + 0.125, gamma = constant(DType::f32, row);
    const int64_t kind = r_.below(4);
    const Function f = [&](const std::vector<Tensor>& in) {
      const Tensor u = x + in[0];
      const Tensor h = kind == 0 ? gelu(u) : kind == 1 ? silu(u) : kind == 2 ? tanh(u) : sigmoid(u);
      return std::vector<Tensor>{sum(rms_norm(x + (h + in[1]), gamma, 1.0) * 0.5)};
    };
    for (const Tensor& g : grad(f, {0, 1})({shift, shift * 0.5})) losses_.push_back(g);
    fuzz_.tolerance = 1e-4;
  }

  // A projection to many classes and its loss: real numbers, equal up to rounding.
  void loss(const Known& a) {
    constexpr int64_t kClasses = 64;
    if (fuzz_.special || a.bound > 10 || a.x.rank() != 2 || elements(a.x) == 0) return;
    const Tensor x = cast(a.x, DType::f32);
    const Dims shape = dims_of(x);
    Array labels(DType::i64, {shape[0]});
    for (int64_t i = 0; i < shape[0]; ++i) labels.set_flat(i, static_cast<double>(r_.below(kClasses)));
    const Tensor weight = constant(DType::f32, {kClasses, shape[1]}) * 0.25;
    const Tensor logits = r_.one_in(2) ? linear(x, weight) : matmul(x, weight.transpose(0, 1));
    losses_.push_back(cross_entropy(logits, builder_->constant(labels)));  // nothing jumps behind it
    fuzz_.tolerance = 1e-4;
  }

  Function body() {
    return [c = r_.of({1.0, 2.0, -1.0})](const std::vector<Tensor>& in) {
      return std::vector<Tensor>{neg(neg(in[0])) * c + 1.0};
    };
  }

  // Results: all values that nothing reads, and a few others.
  void finish() {
    std::vector<bool> used(builder_->graph().nodes.size(), false);
    for (const Node& n : builder_->graph().nodes)
      for (const Value& v : n.inputs) used[static_cast<size_t>(v.node)] = true;
    bool any = false;
    for (size_t i = 5; i < pool_.size(); ++i) {
      const Tensor& x = pool_[i].x;
      if (used[static_cast<size_t>(x.value().node)] && !r_.one_in(8)) continue;
      if (r_.one_in(12)) continue;  // dead
      builder_->output("", x);
      any = true;
    }
    for (const Tensor& x : losses_) builder_->output("loss", x);
    if (!any) builder_->output("", pool_[0].x);
    builder_->finish();
  }

  Random& r_;
  FuzzCase& fuzz_;
  DType floating_ = DType::f32;
  std::shared_ptr<Builder> builder_;
  std::vector<Known> pool_;
  std::vector<Tensor> losses_;  // results that are not whole
};

}  // namespace

FuzzCase random_graph(Random& random) {
  FuzzCase fuzz;
  fuzz.module = std::make_shared<Module>();
  fuzz.special = random.one_in(4);
  GraphMaker(random, fuzz);
  if (!fuzz.special && random.one_in(3)) add_gradients(fuzz, random);
  return fuzz;
}

}  // namespace fovea::tools
