#include "ops/composite/additive_scores/additive_scores.h"

#include "graph/ir/op.h"
#include "ops/core/add/add.h"
#include "ops/core/mul/mul.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/sub/sub.h"
#include "ops/core/sum/sum.h"
#include "ops/core/tanh/tanh.h"
#include "ops/shared/gradients.h"

namespace fovea {
namespace {

enum Operand { kK, kQ, kW, kG };

// The shape of the scores.
Shape infer_scores(InferContext& c) {
  for (const size_t i : {kK, kQ})
    if (c.rank(i) < 1) c.fail(std::string(i == kK ? "k" : "q") + " has rank 0, at least 1 is needed");
  if (c.rank(kW) != 1) c.fail("w has rank " + std::to_string(c.rank(kW)) + ", 1 is needed");
  c.same_dtype(kK, kQ);
  c.same_dtype(kK, kW);
  c.same(c.shape(kK).back(), c.shape(kW)[0], "the last axis of k is {a}, w has {b} elements");
  c.same(c.shape(kQ).back(), c.shape(kW)[0], "the last axis of q is {a}, w has {b} elements");
  const Shape k(c.shape(kK).begin(), c.shape(kK).end() - 1), q(c.shape(kQ).begin(), c.shape(kQ).end() - 1);
  return c.broadcast(k, q);
}

void infer(InferContext& c) { c.output(c.dtype(kK), infer_scores(c)); }

Tensors decompose(const OpArgs& a) { return {sum(tanh(a.in[kK] + a.in[kQ]) * a.in[kW], {-1})}; }

Tensors gradient(const GradArgs& a) {
  Tensors out = apply("additive_scores_backward", {a.in[kK], a.in[kQ], a.in[kW], a.grad[0]});
  for (size_t i = 0; i < out.size(); ++i)
    if (!a.needs[i]) out[i] = Tensor();
  return out;
}

void infer_backward(InferContext& c) {
  const Shape scores = infer_scores(c);
  c.same_dtype(kK, kG);
  if (c.shape(kG).size() != scores.size())
    c.fail("g has rank " + std::to_string(c.rank(kG)) + ", the scores have rank " +
           std::to_string(scores.size()));
  for (size_t d = 0; d < scores.size(); ++d)
    c.same(c.shape(kG)[d], scores[d], "axis " + std::to_string(d) + " of g is {a}, the scores' is {b}");
  for (const size_t i : {kK, kQ, kW}) c.output(c.in[i]);
}

Tensors decompose_backward(const OpArgs& a) {
  const Tensor t = tanh(a.in[kK] + a.in[kQ]), g = unsqueeze(a.in[kG], -1);
  const Tensor h = g * a.in[kW] * (1.0 - t * t);
  return {reduce_to(h, a.in[kK]), reduce_to(h, a.in[kQ]), reduce_to(g * t, a.in[kW])};
}

}  // namespace

FOVEA_OP(additive_scores) {
  op.doc(
        "Scores of additive attention (Bahdanau, Cho and Bengio 2014): sum over d of w[d] tanh(k[..., d] + "
        "q[..., d]). k and q broadcast together; with keys [B, J, D] and queries [B, 1, D] the scores are "
        "[B, J], with keys [B, 1, J, D] and queries [B, I, 1, D] they are [B, I, J]. The tanh never exists "
        "as a tensor, neither here nor in the gradient, which computes it again.")
      .input("k", Types::floating)
      .input("q", Types::floating)
      .input("w", Types::floating)
      .infer(infer)
      .decompose(decompose)
      .gradient(gradient)
      .sample({In{2, 3, 5}, In{2, 1, 5}, In{5}})
      .sample({In{2, 1, 3, 5}, In{2, 4, 1, 5}, In{5}})
      .sample({In{3, 5}, In{5}, In{5}})
      .sample({In{1, 5}, In{2, 3, 5}, In{5}})
      .sample({In{1, 2, 1, 5}, In{3, 1, 2, 5}, In{5}})
      .sample_error({In{2, 3, 5}, In{2, 1, 5}, In{4}}, {}, "the last axis of k is 5, w has 4 elements")
      .sample_error({In{2, 3, 5}, In{2, 1, 1}, In{5}}, {}, "the last axis of q is 1, w has 5 elements")
      .sample_error({In{2, 3, 5}, In{2, 1, 5}, In{1, 5}}, {}, "w has rank 2, 1 is needed");
}

FOVEA_OP(additive_scores_backward) {
  op.doc(
        "The gradients of additive_scores: with t = tanh(k + q) and h = g w (1 - t^2), dk and dq are h "
        "summed over the axes along which k and q are repeated, dw is the sum of g t over all but the last "
        "axis.")
      .input("k", Types::floating)
      .input("q", Types::floating)
      .input("w", Types::floating)
      .input("g", Types::floating)
      .output("dk")
      .output("dq")
      .output("dw")
      .infer(infer_backward)
      .decompose(decompose_backward)
      .sample({In{2, 3, 5}, In{2, 1, 5}, In{5}, In{2, 3}})
      .sample({In{2, 1, 3, 5}, In{2, 4, 1, 5}, In{5}, In{2, 4, 3}})
      .sample({In{3, 5}, In{5}, In{5}, In{3}})
      .sample({In{1, 5}, In{2, 3, 5}, In{5}, In{2, 3}})
      .sample_error({In{2, 3, 5}, In{2, 1, 5}, In{5}, In{2, 2}}, {}, "axis 1 of g is 2, the scores' is 3")
      .sample_error({In{2, 3, 5}, In{2, 1, 5}, In{5}, In{3}}, {}, "g has rank 1, the scores have rank 2");
}

Tensor additive_scores(const Arg& k, const Tensor& q, const Tensor& w) {
  return apply1("additive_scores", {to_tensor(k, DType::f32), q, w}, {}, k.source);
}

}  // namespace fovea
