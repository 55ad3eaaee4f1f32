// What the attention ops share: reading the spec from attributes, checking it against the operands, and the
// scores as plain tensor ops.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "graph/ir/op.h"
#include "ops/composite/attention/attention.h"

namespace fovea::attend {

/// Which of a program's operands hold random keys; operand n is leaf n - 1.
std::vector<bool> key_operands(const tiles::Program& program, size_t operands);
/// The spec that these attributes say. InvalidArgument where a text is no program.
AttentionSpec spec_of(const Attrs& attrs);
/// Attributes score, factor, sink, guard and order.
Attrs attrs_of(const AttentionSpec& spec);
/// Declares those attributes.
OpDecl& declare_spec(OpDecl& op);

/// Shapes of an attention node: [batch..., Lq, Lk] and the sizes of its channels.
struct Extents {
  Shape space;
  Dim d, e;
  Shape result() const;  ///< [batch..., Lq, E], axes as they are
  Shape rows() const;    ///< [batch..., Lq]
};
/// Checks operands 0 to 2 (q, k, v), the leaves from operand `first_leaf` on, and the spec's attributes.
Extents check_spec(InferContext& c, const AttentionSpec& spec, size_t first_leaf);

/// `shape` with its axes in `order` (empty: as it is), checked by check_order.
Shape ordered(const Shape& shape, const Ints& order);
void check_order(InferContext& c, std::string_view attribute, int64_t rank);
/// x with its axes in `order`; and back.
Tensor in_order(const Tensor& x, const Ints& order);
Tensor out_of_order(const Tensor& x, const Ints& order);
Ints inverse_order(const Ints& order);

/// Score, factor and sink of a node as tensors of the row type; factor and sink undefined where empty. The
/// factor is a full [batch..., Lq, Lk], the sink [batch..., Lq, 1].
struct Scores {
  Tensor s, score, factor, sink;
  Shape space;
};
Scores scores_of(const AttentionSpec& spec, const Tensor& q, const Tensor& k, const Tensor& v,
                 std::span<const Tensor> leaves);
/// p * factor; a factor of 0 selects 0 where p is NaN (a mask or dropout behind a row without keys; the same
/// for gradients).
Tensor weighted(const Tensor& p, const Tensor& factor);
/// One program over `space`, operand 0 being s: its results, each of that shape.
std::vector<Tensor> build_over(const tiles::Program& program, const Tensor& s, std::span<const Tensor> leaves,
                               const Shape& space, const Tensor& extra = {});

/// For samples: the program that is one operand as it is.
std::string one_leaf(int64_t operand);

}  // namespace fovea::attend
