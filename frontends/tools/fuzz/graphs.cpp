// Random typed graphs, rich in what the clean-up rules look for.
#include <cmath>
#include <limits>

#include "frontends/tools/fuzz/graph_maker.h"

namespace fovea::tools {

namespace {
constexpr double kMostMagnitude = 1e5;  // products of two such numbers are exact in f64
}  // namespace

GraphMaker::GraphMaker(Random& r, FuzzCase& f) : random(r), fuzz(f) {
  floating =
      fuzz.special ? random.of({DType::f32, DType::f64, DType::f16}) : random.of({DType::f32, DType::f64});
  builder = Builder::make(fuzz.module, "main");
  for (int i = 0; i < 3; ++i) argument(floating, random_shape());
  argument(random.of({DType::i32, DType::i64, DType::i16}), random_shape());
  argument(DType::boolean, random_shape());
  TraceScope trace(builder);
  const int64_t wanted = random.between(4, 12);
  for (int64_t i = 0; i < wanted; ++i) step();
  finish();
}

Dims GraphMaker::random_shape() {
  Dims shape(static_cast<size_t>(random.below(4)));
  for (int64_t& d : shape) d = random.of({1, 2, 2, 3, 3, 4});
  return shape;
}

void GraphMaker::argument(DType dtype, const Dims& shape) {
  Array a = random_array(random, dtype, shape, true);
  if (fuzz.special && is_integer(dtype))
    for (int64_t i = 0; i < a.size(); ++i) a.set_flat(i, static_cast<double>(random.between(-300, 300)));
  if (fuzz.special && is_floating(dtype))
    for (int64_t i = 0; i < a.size(); ++i)
      if (!random.one_in(3))
        a.set_flat(i,
                   random.of({0.0, -0.0, std::nan(""), HUGE_VAL, -HUGE_VAL, 1e-40, -6e-8, 6e4, 3e38, 0.1}));
  fuzz.arguments.push_back(a);
  pool.push_back({builder->input("", {dtype, to_shape(shape)}), 3});
}

const Known& GraphMaker::pick() {
  const auto n = static_cast<int64_t>(pool.size());
  return pool[static_cast<size_t>(random.one_in(2) ? n - 1 - random.below(std::min<int64_t>(4, n))
                                                   : random.below(n))];
}
const Known* GraphMaker::numeric() {
  return pick_where([](const Tensor& x) { return x.dtype() != DType::boolean; });
}
const Known* GraphMaker::real() {
  return pick_where([](const Tensor& x) { return is_floating(x.dtype()); });
}
const Known* GraphMaker::boolean() {
  return pick_where([](const Tensor& x) { return x.dtype() == DType::boolean; });
}

void GraphMaker::keep(const Tensor& x, double bound) {
  if (bound <= kMostMagnitude || fuzz.special) pool.push_back({x, bound});
}

Dims GraphMaker::narrower(const Tensor& x) {
  Dims shape = dims_of(x);
  for (int64_t& d : shape)
    if (random.one_in(3)) d = 1;
  while (!shape.empty() && random.one_in(4)) shape.erase(shape.begin());
  return shape;
}
Tensor GraphMaker::number(const Tensor& beside, double value) {
  return full(to_shape(random.one_in(3) ? narrower(beside) : Dims{}), value, beside.dtype());
}
Known GraphMaker::partner(const Known& k) {
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
  if (random.one_in(2)) return {constant(dtype, narrower(k.x)), 3};
  return {number(k.x, dtype == DType::boolean ? static_cast<double>(random.below(2)) : 2), 2};
}
Tensor GraphMaker::constant(DType dtype, const Dims& shape) {
  return builder->constant(random_array(random, dtype, shape, true));
}
Ints GraphMaker::some_order(int64_t rank) {
  Ints axes(static_cast<size_t>(rank));
  for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(i);
  for (size_t i = axes.size(); i > 1; --i) std::swap(axes[i - 1], axes[static_cast<size_t>(random.below(i))]);
  return axes;
}

void GraphMaker::step() {
  if (fuzz.special && random.one_in(3)) return random.of(special_sources())(*this);
  const auto &numbers = number_sources(), &views = view_sources();
  const auto common = static_cast<int64_t>(numbers.size() + views.size());
  const auto k = static_cast<size_t>(random.below(common + 1));
  if (k < numbers.size()) return numbers[k](*this);
  if (k < numbers.size() + views.size()) return views[k - numbers.size()](*this);
  if (random.one_in(3)) random.of(layer_sources())(*this);
}

// Results: all values that nothing reads, and a few others.
void GraphMaker::finish() {
  std::vector<bool> used(builder->graph().nodes.size(), false);
  for (const Node& n : builder->graph().nodes)
    for (const Value& v : n.inputs) used[static_cast<size_t>(v.node)] = true;
  bool any = false;
  for (size_t i = 5; i < pool.size(); ++i) {
    const Tensor& x = pool[i].x;
    if (used[static_cast<size_t>(x.value().node)] && !random.one_in(8)) continue;
    if (random.one_in(12)) continue;  // dead
    builder->output("", x);
    any = true;
  }
  for (const Tensor& x : losses) builder->output("loss", x);
  if (!any) builder->output("", pool[0].x);
  builder->finish();
}

FuzzCase random_graph(Random& random) {
  FuzzCase fuzz;
  fuzz.module = std::make_shared<Module>();
  fuzz.special = random.one_in(4);
  GraphMaker(random, fuzz);
  if (!fuzz.special && random.one_in(3)) add_gradients(fuzz, random);
  return fuzz;
}

}  // namespace fovea::tools
