// How the operands of attention lie in memory, and how they are multiplied: the part of a spelling that no
// score function sees.
#pragma once

#include "frontends/cpp/fovea.h"
#include "frontends/tools/fuzz/cases.h"
#include "graph/build/builder.h"

namespace fovea::tools {

/// Arguments of the function that is being traced, with numbers for them.
class Arguments {
 public:
  Arguments(Random& random, FuzzCase& fuzz, Builder& builder) : r_(random), fuzz_(fuzz), builder_(builder) {}

  Tensor real(const Shape& shape);
  Tensor keep_mask(const Shape& shape);      ///< mostly true
  Tensor additive_mask(const Shape& shape);  ///< 0, at times -1e4
  Tensor integers(const Shape& shape, int64_t low, int64_t high);
  Tensor key();  ///< of random numbers
  Tensor constant(Array numbers) { return builder_.constant(std::move(numbers)); }
  /// A size: a number, or a symbol that stands for it.
  Dim size(const char* symbol, int64_t n);

  int64_t number(const Dim& size) const;

  bool symbols = false;     ///< sizes are symbols
  DType type = DType::f32;  ///< of real numbers

 private:
  Tensor argument(const Shape& shape, Array numbers);

  Random& r_;
  FuzzCase& fuzz_;
  Builder& builder_;
};

/// Queries, keys and values in one of the layouts in which people keep them.
class AttentionLayout {
 public:
  AttentionLayout(Random& random, Arguments& arguments);

  /// Products of queries and keys; scores have the axes of the layout.
  Tensor multiply(const Tensor& q, const Tensor& k) const;
  /// The values weighted.
  Tensor weigh(const Tensor& p, const Tensor& v) const;
  /// One number a row of scores, as it divides what `weigh` gives.
  Tensor beside_values(const Tensor& x) const {
    return product_ == Product::sequence_first ? x.transpose(1, 2) : x;
  }
  /// The result as it is given on.
  Tensor merged(const Tensor& y) const;
  /// Further operands like those that are there.
  Tensor another(const Tensor& like) { return arguments_.real(like.shape()); }
  /// A tensor over [batch or 1, head or 1, query or 1, key or 1] as it broadcasts against the scores.
  Tensor fit(const Tensor& x) const;
  /// Size 1 or the whole.
  Shape over(bool batch, bool head, bool query, bool key) const;

  Tensor q, k, v;
  Dim batch = 1, queries = 1, keys = 1;
  int64_t heads = 1, most_keys = 1;  ///< most_keys: the number that `keys` stands for

 private:
  enum class Form { plain, folded, one_head, one_sequence, rows, five };
  enum class Product { matmul, einsum, letters, transposed, sum, sequence_first };

  Tensor split_heads(const Tensor& x, const Dim& length, int64_t channels) const;
  Tensor projected(const Tensor& x, const Dim& length, int64_t width);
  Tensor turned(const Tensor& x, const Dim& length) const;
  void choose();
  void multiply_by(Product product);
  void by_heads();
  void folded_batch();
  void one_head();
  void one_sequence();
  void transposed_keys();
  void packed();
  void multi_query_rows();
  void grouped(bool repeated);
  void cached();
  void pixels();
  void chunks();
  void sequence_first();
  void prologue();

  Random& r_;
  Arguments& arguments_;
  int64_t channels_ = 1, value_channels_ = 1, group_ = 1;
  Form form_ = Form::plain;
  Product product_ = Product::matmul;
  bool merge_ = false;  // heads are merged into channels at the end
};

}  // namespace fovea::tools
