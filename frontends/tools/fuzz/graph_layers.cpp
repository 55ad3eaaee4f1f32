// Sources of random numbers, functions, loops, branches, and parts of layers.
#include "frontends/tools/fuzz/graph_maker.h"

namespace fovea::tools {
namespace {

// Cheap operations one behind the other over a tensor that is large enough for them to run as one.
void chain(GraphMaker& g) {
  const Known* k = g.real();
  if (!k) return;
  const Known small = *k;
  constexpr int64_t kMany = 4096;
  if (elements(small.x) == 0) return;
  Shape shape = small.x.shape();
  shape.insert(shape.begin(), (kMany + elements(small.x) - 1) / elements(small.x));
  const Known a{broadcast_to(small.x, shape) + cast(iota(shape, 0) < 7, small.x.dtype()), small.bound + 1};
  Known y = a;
  for (int64_t i = g.random.between(4, 7); i > 0; --i) switch (g.random.below(5)) {
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
  g.keep(select_index(y.x, 0, g.random.below(16)), y.bound);
}

// A product with constant weights, wide enough to be packed, and what rides on it.
void projected(GraphMaker& g) {
  const Known* k = g.real();
  if (!k) return;
  const Known a = *k;
  constexpr int64_t kWide = 48;
  if (a.x.rank() == 0 || g.fuzz.special || elements(a.x) == 0) return;
  const int64_t depth = dims_of(a.x).back();
  const Tensor x = cast(a.x, DType::f32);
  Tensor y = g.random.one_in(2) ? linear(x, g.constant(DType::f32, {kWide, depth}))
                                : matmul(x, g.constant(DType::f32, {depth, kWide}));
  if (g.random.one_in(2)) y = y + g.constant(DType::f32, {kWide});
  if (g.random.one_in(2)) y = relu(y);
  if (!g.random.one_in(3)) y = y + g.constant(DType::f32, dims_of(y));
  const double bound = 3 * a.bound * static_cast<double>(depth) + 6;
  g.keep(sum(y, {-1}), bound * kWide);
}

// Scores of additive attention: real numbers, equal up to rounding.
void additive(GraphMaker& g) {
  const Known* k = g.real();
  if (!k) return;
  const Known a = *k;
  if (g.fuzz.special || a.bound > 10 || a.x.rank() != 2 || elements(a.x) == 0) return;
  const Tensor keys = unsqueeze(cast(a.x, DType::f32), 0) * 0.25;
  const int64_t width = dims_of(a.x)[1];
  const Tensor t = tanh(keys + g.constant(DType::f32, {2, 1, width}) * 0.25);
  switch (g.random.below(3)) {
    case 0:
      g.losses.push_back(linear(t, g.constant(DType::f32, {1, width})));
      break;
    case 1:
      g.losses.push_back(matmul(t, g.constant(DType::f32, {width, 1})));
      break;
    default:
      g.losses.push_back(sum(t * g.constant(DType::f32, {width}), {-1}));
  }
  g.fuzz.tolerance = 1e-4;
}

// Sums between two layers and their norms, with dropout and without: real numbers, equal up to rounding.
void residual(GraphMaker& g) {
  const Known* k = g.real();
  if (!k) return;
  const Known a = *k;
  if (g.fuzz.special || elements(a.x) == 0) return;
  const Tensor rows = a.x.rank() == 0 ? unsqueeze(a.x, 0) : a.x;
  const Tensor x = cast(rows, DType::f32) * (1 / (1 + a.bound));
  const Dims shape = dims_of(x), row = {shape.back()};
  const Tensor key = g.builder->constant(Array::of(std::vector<int64_t>{g.random.below(9), 1}, {2}));
  for (const bool drops : {true, false}) {
    const Tensor branch = g.constant(DType::f32, shape) * 0.25;
    const Tensor added = drops ? dropout(branch, key, 0.25) : branch;
    const Tensor y = g.random.one_in(2) ? x + added : added + x;
    const Tensor gamma = g.constant(DType::f32, row);
    // The large eps keeps equal numbers in a row from magnifying their rounding.
    g.losses.push_back(g.random.one_in(2) ? layer_norm(y, gamma, g.constant(DType::f32, row), 1.0)
                                          : rms_norm(y, gamma, 1.0));
    if (g.random.one_in(2)) g.losses.push_back(y * 2.0);
  }
  g.fuzz.tolerance = 1e-4;
}

// Gradients of the biases of a layer with a residual: real numbers, equal up to rounding.
void layer_gradients(GraphMaker& g) {
  const Known* k = g.real();
  if (!k) return;
  const Known a = *k;
  if (g.fuzz.special || elements(a.x) == 0 || a.x.rank() > 3) return;
  const Tensor rows = a.x.rank() == 0 ? unsqueeze(a.x, 0) : a.x;
  const Tensor x = broadcast_to(cast(rows, DType::f32) * (1 / (1 + a.bound)), [&] {
    Shape shape = rows.shape();
    shape.insert(shape.begin(), 2);
    return shape;
  }());
  const Dims row = {dims_of(rows).back()};
  const Tensor shift = g.constant(DType::f32, row) * 0.25 + 0.125, gamma = g.constant(DType::f32, row);
  const int64_t kind = g.random.below(4);
  const Function f = [&](const std::vector<Tensor>& in) {
    const Tensor u = x + in[0];
    const Tensor h = kind == 0 ? gelu(u) : kind == 1 ? silu(u) : kind == 2 ? tanh(u) : sigmoid(u);
    return std::vector<Tensor>{sum(rms_norm(x + (h + in[1]), gamma, 1.0) * 0.5)};
  };
  for (const Tensor& dx : grad(f, {0, 1})({shift, shift * 0.5})) g.losses.push_back(dx);
  g.fuzz.tolerance = 1e-4;
}

// A projection to many classes and its loss: real numbers, equal up to rounding.
void loss(GraphMaker& g) {
  const Known* k = g.real();
  if (!k) return;
  const Known a = *k;
  constexpr int64_t kClasses = 64;
  if (g.fuzz.special || a.bound > 10 || a.x.rank() != 2 || elements(a.x) == 0) return;
  const Tensor x = cast(a.x, DType::f32);
  const Dims shape = dims_of(x);
  Array labels(DType::i64, {shape[0]});
  for (int64_t i = 0; i < shape[0]; ++i) labels.set_flat(i, static_cast<double>(g.random.below(kClasses)));
  const Tensor weight = g.constant(DType::f32, {kClasses, shape[1]}) * 0.25;
  const Tensor logits = g.random.one_in(2) ? linear(x, weight) : matmul(x, weight.transpose(0, 1));
  g.losses.push_back(cross_entropy(logits, g.builder->constant(labels)));  // nothing jumps behind it
  g.fuzz.tolerance = 1e-4;
}

Function body(GraphMaker& g) {
  return [c = g.random.of({1.0, 2.0, -1.0})](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{neg(neg(in[0])) * c + 1.0};
  };
}
void called(GraphMaker& g) {
  const Known* k = g.real();
  if (!k) return;
  const Known a = *k;
  const Function f = body(g);
  switch (g.random.below(3)) {
    case 0:
      return g.keep(checkpoint(f)({a.x})[0], 2 * a.bound + 1);
    case 1:
      return g.keep(compile(f)({a.x})[0], 2 * a.bound + 1);
    default:
      return g.keep(cond(sum(a.x) > 0.0, f, body(g), {a.x})[0], 2 * a.bound + 1);
  }
}
void dropped(GraphMaker& g) {
  const Known* k = g.real();
  if (!k) return;
  const Known a = *k;
  const Tensor key = g.builder->constant(Array::of(std::vector<int64_t>{g.random.below(9), 1}, {2}));
  g.keep(dropout(a.x, key, 0.5), 2 * a.bound);
}
void scanned(GraphMaker& g) {
  const Known* k = g.real();
  if (!k || k->x.rank() > 3) return;
  const Known a = *k;
  Shape twice = a.x.shape();
  twice.insert(twice.begin(), 2);
  const auto out = scan(
      [](const std::vector<Tensor>& in) {
        const Tensor next = in[0] * 1.0 + in[1];
        return std::vector<Tensor>{next, neg(neg(next))};
      },
      {a.x}, {broadcast_to(unsqueeze(a.x, 0), twice)});
  g.keep(out[0], 3 * a.bound);
  g.keep(out[1], 3 * a.bound);
}
void differentiated(GraphMaker& g) {
  const Known* k = g.real();
  if (!k || k->bound > 300) return;
  const Known a = *k;
  const Function f = [](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{sum(square(in[0] * 1.0))};
  };
  g.keep(grad(f)({a.x})[0], 2 * a.bound);
}

}  // namespace

const std::vector<GraphSource>& layer_sources() {
  static const std::vector<GraphSource> sources = {
      called,    called, called, dropped,  scanned,  differentiated, projected,
      projected, loss,   chain,  additive, residual, layer_gradients};
  return sources;
}

}  // namespace fovea::tools
