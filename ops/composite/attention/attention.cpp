#include "ops/composite/attention/attention.h"

#include <limits>

#include "graph/build/builder.h"
#include "ops/composite/attention/spec_internal.h"
#include "ops/composite/is_finite/is_finite.h"
#include "ops/composite/is_nan/is_nan.h"
#include "ops/core/cast/cast.h"
#include "ops/core/equal/equal.h"
#include "ops/core/exp/exp.h"
#include "ops/core/full/full.h"
#include "ops/core/log/log.h"
#include "ops/core/matmul/matmul.h"
#include "ops/core/max/max.h"
#include "ops/core/maximum/maximum.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/stop_gradient/stop_gradient.h"
#include "ops/core/sum/sum.h"
#include "ops/core/where/where.h"
#include "ops/shared/gradients.h"
#include "ops/shared/norms.h"
#include "ops/shared/rows.h"

namespace fovea {
namespace {

using attend::Extents;
using attend::Scores;
using tiles::Program;

constexpr double kInf = std::numeric_limits<double>::infinity();

void infer(InferContext& c) {
  const AttentionSpec spec = attend::spec_of(c.attrs);
  const Extents x = attend::check_spec(c, spec, 3);
  c.output(c.dtype(0), attend::ordered(x.result(), spec.order));
  c.output(row_dtype(c.dtype(0)), x.rows());
  c.output(row_dtype(c.dtype(0)), x.rows());
}

// Without keys every sum is empty.
Tensors without_keys(const Scores& x, const AttentionSpec& spec, const Tensor& v) {
  Shape shape = x.space;
  shape.back() = v.shape().back();
  const Tensor y = zeros(attend::ordered(shape, spec.order), v.dtype());
  const Shape rows(x.space.begin(), x.space.end() - 1);
  const Tensor lse = x.sink.defined() ? reshape(x.sink, rows) : full(rows, -kInf, x.s.dtype());
  return {y, lse, zeros(rows, x.s.dtype())};
}

Tensors decompose(const OpArgs& a) {
  const AttentionSpec spec = attend::spec_of(a.attrs);
  const Scores x = attend::scores_of(spec, a.in[0], a.in[1], a.in[2], a.in.subspan(3));
  const Tensor& v = a.in[2];
  if (x.space.back() == Dim(0)) return without_keys(x, spec, v);
  Tensor top = max(x.score, {-1}, true);
  if (x.sink.defined()) top = maximum(top, x.sink);
  const Tensor empty = equal(top, -kInf);
  const Tensor shift = stop_gradient(where(empty, 0.0, top));
  const Tensor e = exp(x.score - shift);
  Tensor total = sum(e, {-1}, true);
  if (x.sink.defined()) total = total + exp(x.sink - shift);
  Tensor p = e / total;
  if (spec.guard == "nan") p = where(is_nan(p), 0.0, p);
  if (spec.guard == "empty") p = where(empty, 0.0, p);
  if (x.factor.defined()) p = attend::weighted(p, x.factor);
  const Tensor y = cast(matmul(p, to_row_type(v)), v.dtype());
  const Shape rows(x.space.begin(), x.space.end() - 1);
  const Tensor lse = log(total) + shift;
  const Tensor rest = stop_gradient(where(is_finite(lse), (shift - lse) + log(total), 0.0));
  return {attend::in_order(y, spec.order), reshape(lse, rows), reshape(rest, rows)};
}

// The order in which the memory of a value's gradient should lie: that of the tensor which it permutes, so
// that the way back is a view.
Ints memory_order(const Tensor& x) {
  if (!x.traced()) return {};
  const Node& node = x.builder()->graph().nodes[static_cast<size_t>(x.value().node)];
  if (node.op->name() != "permute") return {};
  return attend::inverse_order(node.attrs.ints("axes"));
}

Tensors gradient(const GradArgs& a) {
  Ints wanted;
  for (size_t i = 0; i < a.in.size(); ++i)
    if (a.needs[i] && is_floating(a.in[i].dtype())) wanted.push_back(static_cast<int64_t>(i));
  Tensors grads(a.in.size());
  if (wanted.empty()) return grads;
  Tensors in{a.in[0], a.in[1], a.in[2], a.out[0], a.out[1], a.out[2], or_zeros(a.grad[0], a.out[0])};
  if (a.grad[1].defined()) in.push_back(a.grad[1]);
  in.insert(in.end(), a.in.begin() + 3, a.in.end());
  Attrs attrs = a.attrs;
  attrs.set("lse_gradient", a.grad[1].defined());
  attrs.set("wanted", wanted);
  const char* names[] = {"q_order", "k_order", "v_order"};
  for (int i : {0, 1, 2}) attrs.set(names[i], memory_order(a.in[static_cast<size_t>(i)]));
  const Tensors out = apply("attention_backward", in, attrs);
  for (size_t n = 0; n < wanted.size(); ++n) {
    const auto i = static_cast<size_t>(wanted[n]);
    grads[i] = i < 3 ? attend::out_of_order(out[n], attrs.ints(names[i])) : out[n];
  }
  return grads;
}

// Samples' programs.
std::string scaled() {
  Program p;
  p.results = {p.binary(tiles::Code::mul, p.input(0), p.constant(0.5))};
  return p.str();
}
std::string causal_with_bias() {
  Program p;
  const int32_t s = p.binary(tiles::Code::add, p.input(0), p.input(1));
  const int32_t seen = p.binary(tiles::Code::less_equal, p.iota(-1), p.iota(-2));
  p.results = {p.select(seen, s, p.constant(-kInf))};
  return p.str();
}

}  // namespace

FOVEA_OP(attention) {
  op.doc(
      "y = sum_j factor p v with p = exp(score) / (sum_j exp(score) + exp(sink)), and lse, the logarithm of "
      "that sum. rest is what rounding took from lse: their sum holds it to twice the precision. q "
      "[batch..., Lq, D], k [batch..., Lk, D] and v [batch..., Lk, E] broadcast over their batch "
      "axes; leaves have q's rank and sizes 1 or those of [batch..., Lq, Lk]; a random key is i64[2]. The "
      "compiler makes this node from plain operations; half types compute in f32.");
  op.input("q", Types::floating)
      .input("k", Types::floating)
      .input("v", Types::floating)
      .variadic_input("leaves")
      .output("y")
      .output("lse")
      .output("rest");
  attend::declare_spec(op)
      .infer(infer)
      .decompose(decompose)
      .gradient(gradient)
      .sample({In{2, 3, 4, 8}, In{2, 3, 6, 8}, In{2, 3, 6, 5}}, {{"score", scaled()}})
      .sample({In{5, 3}, In{5, 3}, In{5, 4}, In{1, 5}},
              {{"score", causal_with_bias()}, {"guard", "nan"}, {"order", Ints{1, 0}}})
      .sample({In{2, 2, 4, 3}, In{2, 1, 5, 3}, In{1, 1, 5, 3}, In{1, 2, 1, 1}, In{1, 1, 4, 5}},
              {{"sink", attend::one_leaf(1)}, {"factor", attend::one_leaf(2)}, {"order", Ints{0, 2, 1, 3}}})
      .sample_error({In{4, 3}, In{5, 2}, In{5, 3}}, {}, "channels differ: q has 3, k has 2")
      .sample_error({In{4, 3}, In{5, 3}, In{6, 3}}, {}, "lengths differ: k has 5 keys, v has 6")
      .sample_error({In{4}, In{5}, In{6}}, {}, "q has rank 1, 2 to 7 is needed")
      .sample_error({In{4, 3}, In{1, 5, 3}, In{5, 3}}, {}, "k has rank 3, q has rank 2")
      .sample_error({In{4, 3}, In{5, 3}, In{5, 3}, In{3, 5}}, {}, "axis 0 of leaf 0 is 3, 1 or 4 is needed")
      .sample_error({In{4, 3}, In{5, 3}, In{5, 3}}, {{"score", attend::one_leaf(1)}},
                    "score reads operand 1, there are 1")
      .sample_error({In{4, 3}, In{5, 3}, In{5, 3}}, {{"factor", attend::one_leaf(0)}},
                    "factor reads operand 0")
      .sample_error({In{4, 3}, In{5, 3}, In{5, 3}, In{1, 5}}, {{"sink", attend::one_leaf(1)}},
                    "sink reads leaf 0, whose last axis is 5, 1 is needed")
      .sample_error({In{4, 3}, In{5, 3}, In{5, 3}}, {{"guard", "zero"}}, "guard is \"zero\"")
      .sample_error({In{4, 3}, In{5, 3}, In{5, 3}}, {{"order", Ints{0, 0}}}, "order names axis 0 twice");
}

AttentionResult attention(const Tensor& q, const Tensor& k, const Tensor& v,
                          const std::vector<Tensor>& leaves, const AttentionSpec& spec, Source source) {
  Tensors in{q, k, v};
  in.insert(in.end(), leaves.begin(), leaves.end());
  const Tensors out = apply("attention", in, attend::attrs_of(spec), source);
  return {out[0], out[1]};
}

}  // namespace fovea
