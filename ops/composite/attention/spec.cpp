#include "ops/composite/attention/spec_internal.h"

#include <algorithm>

#include "ops/composite/is_nan/is_nan.h"
#include "ops/core/broadcast_to/broadcast_to.h"
#include "ops/core/equal/equal.h"
#include "ops/core/logical_and/logical_and.h"
#include "ops/core/matmul/matmul.h"
#include "ops/core/mul/mul.h"
#include "ops/core/permute/permute.h"
#include "ops/core/where/where.h"
#include "ops/shared/norms.h"
#include "ops/shared/rows.h"

namespace fovea::attend {
namespace {

using tiles::Code;
using tiles::Instr;
using tiles::Kind;
using tiles::Program;

tiles::Program parse_attribute(const Attrs& attrs, std::string_view name) {
  const std::string& text = attrs.text(name);
  return text.empty() ? Program() : Program::parse(text);
}

bool has_size_one(const Dim& d) { return d == Dim(1); }

// The rules for one program; `what` is its attribute.
void check_program(InferContext& c, const Program& program, const std::string& what, int64_t leaves,
                   bool reads_scores) {
  if (program.empty()) return;
  if (program.results.size() != 1)
    c.fail(what + " has " + std::to_string(program.results.size()) + " results, 1 is needed");
  if (program.code[static_cast<size_t>(program.results[0])].kind != Kind::real)
    c.fail("the result of " + what + " is not real");
  const int64_t rank = c.rank(0);
  for (const Instr& in : program.code) {
    const std::string n = std::to_string(in.index);
    if (in.code == Code::input && (in.index < 0 || in.index > leaves))
      c.fail(what + " reads operand " + n + ", there are " + std::to_string(leaves + 1));
    if (in.code == Code::input && in.index == 0 && !reads_scores)
      c.fail(what + " reads operand 0, the scores");
    if (in.code == Code::input && in.index == 0 && in.kind != Kind::real)
      c.fail(what + " reads operand 0, the scores, as numbers that are not real");
    if (in.code == Code::iota && (in.index < -rank || in.index >= rank))
      c.fail(what + " reads the index of axis " + n + ", the rank is " + std::to_string(rank));
    if (in.code == Code::random && (in.a < 1 || in.a > leaves))
      c.fail(what + " has its random key in operand " + std::to_string(in.a) + ", leaves are operands 1 to " +
             std::to_string(leaves));
    if (in.code == Code::random && in.index < 0) c.fail(what + " draws from stream " + n);
  }
}

// Every axis of a leaf is full size or 1; keys are i64[2].
void check_leaf(InferContext& c, size_t i, size_t number, bool is_key, const Shape& space) {
  const std::string name = "leaf " + std::to_string(number);
  if (is_key) {
    if (c.dtype(i) != DType::i64 || c.rank(i) != 1)
      c.fail(name + ", a random key, must be i64[2], got " + to_string(c.in[i]));
    c.same(c.shape(i)[0], 2, name + ", a random key, must have 2 elements (key, step), got {a}");
    return;
  }
  for (size_t a = 0; a < space.size(); ++a)
    if (!has_size_one(c.shape(i)[a]))
      c.same(c.shape(i)[a], space[a],
             "axis " + std::to_string(a) + " of " + name + " is {a}, 1 or {b} is needed");
}

// The sink is one value a row.
void check_sink(InferContext& c, const AttentionSpec& spec, size_t first_leaf) {
  for (const Instr& in : spec.sink.code) {
    if (in.code == Code::random) c.fail("sink draws random numbers");
    if (in.code == Code::iota && (in.index == -1 || in.index == c.rank(0) - 1))
      c.fail("sink reads the index of the key");
    if (in.code != Code::input) continue;
    const size_t i = first_leaf + static_cast<size_t>(in.index) - 1;
    if (c.rank(i) > 0 && !has_size_one(c.shape(i).back()))
      c.fail("sink reads leaf " + std::to_string(in.index - 1) + ", whose last axis is " +
             c.shape(i).back().str() + ", 1 is needed");
  }
}

void check_operand_ranks(InferContext& c) {
  if (c.rank(0) < 2 || c.rank(0) > 7)
    c.fail("q has rank " + std::to_string(c.rank(0)) + ", 2 to 7 is needed");
  for (size_t i : {1, 2}) {
    c.same_dtype(0, i);
    if (c.rank(i) != c.rank(0))
      c.fail(std::string(i == 1 ? "k" : "v") + " has rank " + std::to_string(c.rank(i)) + ", q has rank " +
             std::to_string(c.rank(0)));
  }
}

Shape batch_of(const Shape& shape) { return Shape(shape.begin(), shape.end() - 2); }

}  // namespace

std::vector<bool> key_operands(const Program& program, size_t operands) {
  std::vector<bool> out(operands, false);
  for (const Instr& in : program.code)
    if (in.code == Code::random && in.a >= 0 && static_cast<size_t>(in.a) < operands)
      out[static_cast<size_t>(in.a)] = true;
  return out;
}

AttentionSpec spec_of(const Attrs& attrs) {
  AttentionSpec spec;
  spec.score = parse_attribute(attrs, "score");
  spec.factor = parse_attribute(attrs, "factor");
  spec.sink = parse_attribute(attrs, "sink");
  spec.guard = attrs.text("guard");
  spec.order = attrs.ints("order");
  return spec;
}

Attrs attrs_of(const AttentionSpec& spec) {
  const auto text = [](const Program& p) { return p.empty() ? std::string() : p.str(); };
  return {{"score", text(spec.score)},
          {"factor", text(spec.factor)},
          {"sink", text(spec.sink)},
          {"guard", spec.guard},
          {"order", Ints(spec.order)}};
}

OpDecl& declare_spec(OpDecl& op) {
  return op
      .attr("score", "",
            "tile program of the score over [batch..., query, key]; operand 0 is s = q k^T, operand n is "
            "leaf n - 1; empty: s itself")
      .attr("factor", "", "tile program that multiplies the probabilities (dropout, gates); empty: 1")
      .attr("sink", "", "tile program of one more score a row that has no value; empty: none")
      .attr("guard", "none", "none; nan: NaN probabilities become 0; empty: rows of -inf alone give 0")
      .attr("order", Ints{}, "order of y's axes, as permute's axes; empty: as they are");
}

Shape Extents::result() const {
  Shape out(space.begin(), space.end() - 1);
  out.push_back(e);
  return out;
}
Shape Extents::rows() const { return Shape(space.begin(), space.end() - 1); }

Extents check_spec(InferContext& c, const AttentionSpec& spec, size_t first_leaf) {
  check_operand_ranks(c);
  const auto rank = static_cast<size_t>(c.rank(0));
  const auto leaves = static_cast<int64_t>(c.in.size() - first_leaf);
  check_program(c, spec.score, "score", leaves, true);
  check_program(c, spec.factor, "factor", leaves, false);
  check_program(c, spec.sink, "sink", leaves, false);
  if (spec.guard != "none" && spec.guard != "nan" && spec.guard != "empty")
    c.fail("guard is \"" + spec.guard.substr(0, 40) + "\", none, nan or empty is needed");

  std::vector<bool> keys(static_cast<size_t>(leaves) + 1, false);
  for (const Program* p : {&spec.score, &spec.factor, &spec.sink}) {
    const auto own = key_operands(*p, keys.size());
    for (size_t i = 0; i < keys.size(); ++i) keys[i] = keys[i] || own[i];
    for (const Instr& in : p->code)
      if (in.code == Code::input && keys[static_cast<size_t>(in.index)])
        c.fail("leaf " + std::to_string(in.index - 1) + " is both a random key and an operand");
  }
  Extents x;
  Shape batch = batch_of(c.shape(0));
  for (size_t i : {1, 2}) batch = c.broadcast(batch, batch_of(c.shape(i)));
  for (size_t i = first_leaf; i < c.in.size(); ++i) {
    if (keys[i - first_leaf + 1]) continue;
    if (c.rank(i) != c.rank(0))
      c.fail("leaf " + std::to_string(i - first_leaf) + " has rank " + std::to_string(c.rank(i)) +
             ", q has rank " + std::to_string(c.rank(0)));
    batch = c.broadcast(batch, batch_of(c.shape(i)));
  }
  c.same(c.shape(0).back(), c.shape(1).back(), "channels differ: q has {a}, k has {b}");
  c.same(c.shape(1)[rank - 2], c.shape(2)[rank - 2], "lengths differ: k has {a} keys, v has {b}");
  x.space = batch;
  x.space.push_back(c.shape(0)[rank - 2]);
  x.space.push_back(c.shape(1)[rank - 2]);
  x.d = c.shape(0).back();
  x.e = c.shape(2).back();
  for (size_t i = first_leaf; i < c.in.size(); ++i)
    check_leaf(c, i, i - first_leaf, keys[i - first_leaf + 1], x.space);
  check_sink(c, spec, first_leaf);
  check_order(c, "order", c.rank(0));
  return x;
}

void check_order(InferContext& c, std::string_view attribute, int64_t rank) {
  const Ints& order = c.attrs.ints(attribute);
  if (order.empty()) return;
  std::vector<bool> seen(static_cast<size_t>(rank), false);
  if (static_cast<int64_t>(order.size()) != rank)
    c.fail(std::string(attribute) + " has " + std::to_string(order.size()) + " axes, the rank is " +
           std::to_string(rank));
  for (int64_t a : order) {
    if (a < 0 || a >= rank)
      c.fail(std::string(attribute) + " names axis " + std::to_string(a) + ", the rank is " +
             std::to_string(rank));
    if (seen[static_cast<size_t>(a)])
      c.fail(std::string(attribute) + " names axis " + std::to_string(a) + " twice");
    seen[static_cast<size_t>(a)] = true;
  }
}

Shape ordered(const Shape& shape, const Ints& order) {
  if (order.empty()) return shape;
  Shape out;
  for (int64_t a : order) out.push_back(shape[static_cast<size_t>(a)]);
  return out;
}

Ints inverse_order(const Ints& order) {
  Ints out(order.size());
  for (size_t i = 0; i < order.size(); ++i) out[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  return out;
}

Tensor in_order(const Tensor& x, const Ints& order) { return order.empty() ? x : permute(x, order); }
Tensor out_of_order(const Tensor& x, const Ints& order) {
  return order.empty() ? x : permute(x, inverse_order(order));
}

std::vector<Tensor> build_over(const Program& program, const Tensor& s, std::span<const Tensor> leaves,
                               const Shape& space, const Tensor& extra) {
  std::vector<Tensor> operands{s};
  operands.insert(operands.end(), leaves.begin(), leaves.end());
  if (extra.defined()) operands.push_back(extra);
  auto out = tiles::build(program, operands, space, s.dtype());
  for (Tensor& t : out)
    if (t.shape() != space) t = broadcast_to(t, space);
  return out;
}

Tensor weighted(const Tensor& p, const Tensor& factor) {
  return where(logical_and(is_nan(p), equal(factor, 0.0)), 0.0, p * factor);
}

Scores scores_of(const AttentionSpec& spec, const Tensor& q, const Tensor& k, const Tensor& v,
                 std::span<const Tensor> leaves) {
  Scores x;
  x.s = matmul(to_row_type(q), transpose(to_row_type(k), -1, -2));
  x.space = x.s.shape();
  std::vector<bool> keys(leaves.size() + 1, false);
  for (const Program* p : {&spec.score, &spec.factor, &spec.sink}) {
    const auto own = key_operands(*p, keys.size());
    for (size_t i = 0; i < keys.size(); ++i) keys[i] = keys[i] || own[i];
  }
  for (size_t a = 0; a + 2 < x.space.size(); ++a)
    if (!has_size_one(v.shape()[a])) x.space[a] = v.shape()[a];
  for (size_t i = 0; i < leaves.size(); ++i)
    for (size_t a = 0; !keys[i + 1] && a + 2 < x.space.size(); ++a)
      if (!has_size_one(leaves[i].shape()[a])) x.space[a] = leaves[i].shape()[a];
  x.score = spec.score.empty() ? x.s : build_over(spec.score, x.s, leaves, x.space)[0];
  if (x.score.shape() != x.space) x.score = broadcast_to(x.score, x.space);
  if (!spec.factor.empty()) x.factor = build_over(spec.factor, x.s, leaves, x.space)[0];
  if (!spec.sink.empty()) {
    Shape rows = x.space;
    rows.back() = 1;
    x.sink = build_over(spec.sink, x.s, leaves, rows)[0];
  }
  return x;
}

std::string one_leaf(int64_t operand) {
  tiles::Program p;
  p.results = {p.input(operand)};
  return p.str();
}

}  // namespace fovea::attend
