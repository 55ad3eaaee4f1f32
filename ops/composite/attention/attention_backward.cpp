#include <algorithm>
#include <limits>

#include "ops/composite/attention/spec_internal.h"
#include "ops/composite/is_nan/is_nan.h"
#include "ops/core/cast/cast.h"
#include "ops/core/equal/equal.h"
#include "ops/core/exp/exp.h"
#include "ops/core/full/full.h"
#include "ops/core/matmul/matmul.h"
#include "ops/core/permute/permute.h"
#include "ops/core/reshape/reshape.h"
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

const char* const kOrders[] = {"q_order", "k_order", "v_order"};

size_t first_leaf(const Attrs& attrs) { return attrs.flag("lse_gradient") ? 8 : 7; }

void same_shape_as(InferContext& c, size_t i, const char* name, const Shape& want) {
  if (c.shape(i).size() != want.size())
    c.fail(std::string(name) + " has rank " + std::to_string(c.rank(i)) + ", " + std::to_string(want.size()) +
           " is needed");
  for (size_t a = 0; a < want.size(); ++a)
    c.same(c.shape(i)[a], want[a], "axis " + std::to_string(a) + " of " + name + " is {a}, {b} is needed");
}

void check_wanted(InferContext& c, size_t leaf) {
  const Ints& wanted = c.attrs.ints("wanted");
  if (wanted.empty()) c.fail("wanted names no operand");
  int64_t before = -1;
  for (int64_t w : wanted) {
    const auto count = static_cast<int64_t>(3 + c.in.size() - leaf);
    if (w < 0 || w >= count)
      c.fail("wanted names operand " + std::to_string(w) + ", there are " + std::to_string(count));
    if (w <= before) c.fail("wanted is not in increasing order at " + std::to_string(w));
    const size_t i = w < 3 ? static_cast<size_t>(w) : leaf + static_cast<size_t>(w) - 3;
    if (!is_floating(c.dtype(i)))
      c.fail("the gradient of leaf " + std::to_string(w - 3) + " is wanted, which is no floating tensor");
    before = w;
  }
}

void infer(InferContext& c) {
  const AttentionSpec spec = attend::spec_of(c.attrs);
  const size_t leaf = first_leaf(c.attrs);
  if (c.in.size() < leaf) c.fail("lse_gradient is set, but there is no operand for it");
  const Extents x = attend::check_spec(c, spec, leaf);
  const DType row = row_dtype(c.dtype(0));
  c.same_dtype(0, 3);
  c.same_dtype(0, 6);
  same_shape_as(c, 3, "y", attend::ordered(x.result(), spec.order));
  same_shape_as(c, 6, "dy", attend::ordered(x.result(), spec.order));
  static const char* const kRows[] = {"lse", "rest", "", "dlse"};
  for (size_t i : {4, 5, 7}) {
    if (i >= leaf) continue;
    const char* name = kRows[i - 4];
    if (c.dtype(i) != row)
      c.fail(std::string(name) + " is " + std::string(to_string(c.dtype(i))) + ", " +
             std::string(to_string(row)) + " is needed");
    same_shape_as(c, i, name, x.rows());
  }
  check_wanted(c, leaf);
  for (const char* name : kOrders) attend::check_order(c, name, c.rank(0));
  for (int64_t w : c.attrs.ints("wanted")) {
    const size_t i = w < 3 ? static_cast<size_t>(w) : leaf + static_cast<size_t>(w) - 3;
    c.output(c.dtype(i), w < 3 ? attend::ordered(c.shape(i), c.attrs.ints(kOrders[w])) : c.shape(i));
  }
}

// The unfused backward pass, its values in the row type.
struct Pass {
  Scores x;
  Tensor p, weighted_p, dweighted, df, row_term;  // row_term: D [batch..., Lq, 1]
  std::span<const Tensor> leaves;

  // Adds the gradients of `wrt` (operands of the program) to sums; g is the gradient of its result.
  void back(const Program& program, const Tensor& g, const std::vector<int64_t>& wrt,
            std::vector<Tensor>& sums) const {
    std::vector<int64_t> read;
    for (int64_t w : wrt)
      if (!program.empty() && program.reads_input(program.results[0], w)) read.push_back(w);
    if (read.empty()) return;
    const auto gradient = static_cast<int64_t>(leaves.size() + 1);
    const auto parts =
        attend::build_over(tiles::derivative(program, read, gradient), x.s, leaves, g.shape(), g);
    for (size_t i = 0; i < read.size(); ++i) {
      Tensor& sum = sums[static_cast<size_t>(read[i])];
      sum = sum.defined() ? sum + parts[i] : parts[i];
    }
  }
};

Pass make_pass(const AttentionSpec& spec, const OpArgs& a, size_t leaf) {
  Pass b;
  b.leaves = a.in.subspan(leaf);
  b.x = attend::scores_of(spec, a.in[0], a.in[1], a.in[2], b.leaves);
  const Tensor lse = unsqueeze(a.in[4], -1);
  b.p = exp(b.x.score - lse - unsqueeze(a.in[5], -1));
  if (spec.guard == "nan") b.p = where(is_nan(b.p), 0.0, b.p);
  if (spec.guard == "empty") b.p = where(equal(lse, -std::numeric_limits<double>::infinity()), 0.0, b.p);
  const Tensor y = to_row_type(attend::out_of_order(a.in[3], spec.order));
  const Tensor dy = to_row_type(attend::out_of_order(a.in[6], spec.order));
  b.row_term = sum(attend::weighted(dy, y), {-1}, true);
  if (leaf == 8) b.row_term = b.row_term - unsqueeze(a.in[7], -1);
  b.dweighted = matmul(dy, transpose(to_row_type(a.in[2]), -1, -2));
  const Tensor dp = b.x.factor.defined() ? attend::weighted(b.dweighted, b.x.factor) : b.dweighted;
  b.weighted_p = b.x.factor.defined() ? attend::weighted(b.p, b.x.factor) : b.p;
  b.df = b.p * (dp - b.row_term);
  return b;
}

Tensors decompose(const OpArgs& a) {
  const AttentionSpec spec = attend::spec_of(a.attrs);
  const size_t leaf = first_leaf(a.attrs);
  const Pass b = make_pass(spec, a, leaf);
  const Ints& wanted = a.attrs.ints("wanted");
  std::vector<int64_t> operands{0};  // of the programs: s and the wanted leaves
  for (int64_t w : wanted)
    if (w >= 3) operands.push_back(w - 2);
  // Gradients of the programs' operands; that of s first.
  std::vector<Tensor> sums(b.leaves.size() + 1), sink_sums(b.leaves.size() + 1);
  if (spec.score.empty()) sums[0] = b.df;
  b.back(spec.score, b.df, operands, sums);
  if (!spec.factor.empty()) b.back(spec.factor, b.p * b.dweighted, operands, sums);
  if (!spec.sink.empty())
    b.back(spec.sink, -(exp(b.x.sink - unsqueeze(a.in[4], -1) - unsqueeze(a.in[5], -1)) * b.row_term),
           operands, sink_sums);
  const Tensor ds = sums[0].defined() ? sums[0] : zeros_like(b.df);
  const Tensor dy = to_row_type(attend::out_of_order(a.in[6], spec.order));

  Tensors out;
  for (int64_t w : wanted) {
    const Tensor& like = w < 3 ? a.in[static_cast<size_t>(w)] : b.leaves[static_cast<size_t>(w) - 3];
    Tensor g;
    if (w == 0) g = reduce_to(matmul(ds, to_row_type(a.in[1])), like);
    if (w == 1) g = reduce_to(matmul(transpose(ds, -1, -2), to_row_type(a.in[0])), like);
    if (w == 2) g = reduce_to(matmul(transpose(b.weighted_p, -1, -2), dy), like);
    if (w >= 3)
      for (const auto* parts : {&sums, &sink_sums}) {
        const Tensor& part = (*parts)[static_cast<size_t>(w) - 2];
        if (part.defined()) g = add_defined(g, reduce_to(part, like));
      }
    g = g.defined() ? cast(g, like.dtype()) : zeros_like(like);
    out.push_back(w < 3 ? attend::in_order(g, a.attrs.ints(kOrders[w])) : g);
  }
  return out;
}

std::string bias_times_scale() {
  Program p;
  const int32_t s = p.binary(tiles::Code::mul, p.input(0), p.input(2));
  p.results = {p.binary(tiles::Code::add, s, p.input(1))};
  return p.str();
}

}  // namespace

FOVEA_OP(attention_backward) {
  op.doc(
      "The gradients of attention from its results: with p = exp(score - lse - rest), D = sum(y dy) - dlse "
      "and dp = "
      "factor dy v^T the score's gradient is p (dp - D); the rest follows from the programs' derivatives. "
      "One result for each operand in `wanted`: 0 q, 1 k, 2 v, 3 and up the leaves. y, lse and rest must be "
      "those that attention gave: a kernel may take D from them or sum p dp instead, which is the same.");
  op.input("q", Types::floating)
      .input("k", Types::floating)
      .input("v", Types::floating)
      .input("y", Types::floating)
      .input("lse", Types::floating)
      .input("rest", Types::floating)
      .input("dy", Types::floating)
      .variadic_input("rest");
  attend::declare_spec(op)
      .attr("lse_gradient", false, "the first operand of rest is the gradient of lse; leaves follow")
      .required_attr("wanted", Ints{0, 1, 2}, "whose gradients are wanted, in increasing order")
      .attr("q_order", Ints{}, "order of the axes of q's gradient; empty: as they are")
      .attr("k_order", Ints{})
      .attr("v_order", Ints{})
      .infer(infer)
      .decompose(decompose)
      .sample({In{2, 4, 3}, In{2, 5, 3}, In{2, 5, 2}, In{2, 4, 2}, In({2, 4}).range(1, 2),
               In({2, 4}).range(-0.1, 0.1), In{2, 4, 2}, In{2, 1, 1}},
              {{"wanted", Ints{0, 1, 2}}, {"sink", attend::one_leaf(1)}})
      .sample({In{2, 4, 3}, In{1, 5, 3}, In{1, 5, 2}, In{4, 2, 2}, In({2, 4}).range(1, 2),
               In({2, 4}).range(-0.1, 0.1), In{4, 2, 2}, In{2, 4}, In{1, 4, 5}, In{2, 1, 1}, In{2, 4, 1}},
              {{"wanted", Ints{0, 1, 2, 3, 4, 5}},
               {"score", bias_times_scale()},
               {"sink", attend::one_leaf(3)},
               {"factor", attend::one_leaf(2)},
               {"lse_gradient", true},
               {"order", Ints{1, 0, 2}},
               {"q_order", Ints{1, 0, 2}},
               {"k_order", Ints{2, 0, 1}}})
      .sample_error({In{4, 3}, In{5, 3}, In{5, 2}, In{4, 3}, In{4}, In{4}, In{4, 2}}, {{"wanted", Ints{0}}},
                    "axis 1 of y is 3, 2 is needed")
      .sample_error({In{4, 3}, In{5, 3}, In{5, 2}, In{4, 2}, In{4}, In{4}, In{4, 2}}, {{"wanted", Ints{3}}},
                    "wanted names operand 3, there are 3")
      .sample_error({In{4, 3}, In{5, 3}, In{5, 2}, In{4, 2}, In{4}, In{4}, In{4, 2}}, {{"wanted", Ints{}}},
                    "wanted names no operand");
}

}  // namespace fovea
