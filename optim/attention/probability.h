// The normal form of probabilities: a product of one exponential, factors, and sums that divide it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "optim/attention/view.h"
#include "optim/explain/record.h"

namespace fovea::match {

struct Denominator;

/// A term of the exponent: scale * ref.
struct Term {
  Ref ref;
  double scale = 1;
};

/// Something that multiplies.
struct Factor {
  enum class What : uint8_t {
    plain,    ///< a tensor, or its reciprocal (sign -1)
    keep,     ///< where(ref, x, 0)
    drop,     ///< where(ref, 0, x)
    dropout,  ///< the factor of the dropout node that makes ref
    minus,    ///< -1
  };
  What what = What::plain;
  Ref ref;
  int sign = 1;
};

/// exp(sum of terms) * factors / denominators, perhaps contracted with values.
struct Product {
  std::vector<Term> terms;
  std::vector<Factor> factors;
  std::vector<std::pair<std::shared_ptr<Denominator>, int>> sums;  ///< with exponent +1 or -1
  bool has_exponential = false;
  bool nan_guard = false;     ///< where(isnan(p), 0, p)
  Contraction contraction;    ///< of the rest with values; node -1: none
  Ref probabilities, values;  ///< the operands of the contraction
  NodeId blocked = -1;        ///< an exponential lies behind this node, which is no product
};

/// One summand of a denominator: a product, summed over labels (none: not summed).
struct Addend {
  Product product;
  Labels over;
  NodeId node = -1;
};

struct Denominator {
  std::vector<Addend> addends;
  bool zero_guard = false;   ///< where(sum == 0, 1, sum)
  double floor = 0;          ///< max(sum, floor)
  bool reaches_one = false;  ///< the scores' maximum was subtracted
  bool divided = false;      ///< what is summed was divided by another sum before
  std::vector<Term> shift;   ///< terms free of the keys, the same in sum and numerator
  NodeId node = -1;
};

/// The terms of an exponent.
std::vector<Term> exponent_terms(const View& view, LabelTable& table, const Ref& ref);

/// Takes `ref` apart. `side`: which operand of the contraction holds the probabilities (0 or 1).
Product decompose(const View& view, LabelTable& table, const Ref& ref, int side);

/// What the recogniser needs of a product: p = exp(terms) * weights * factors / (sum exp(terms) * weights +
/// sinks).
struct Probability {
  std::vector<Term> terms;
  std::vector<Term> shift;      ///< free of the keys: may be left out or put back (sinks as well)
  std::vector<Factor> weights;  ///< inside the sum as well
  std::vector<Factor> factors;  ///< outside only
  std::vector<Product> sinks;   ///< addends that are not summed
  double epsilon = 0;           ///< weight + epsilon in the sum
  bool zero_guard = false;      ///< rows whose sum is 0 give 0
  bool nan_guard = false;
  bool may_underflow = false;  ///< nothing keeps the sum from being 0 in a row of low scores
  bool divided = false;        ///< what is summed was divided by another sum before
  NodeId node = -1;            ///< the node that makes the probabilities: softmax, exp
};

/// True for what is above 0 whatever it is made of, but for underflow.
bool is_positive(const View& view, Value v);

/// True where the term is the largest of a row's own scores, main their terms: exp(scores - term) reaches 1.
bool is_row_maximum(const View& view, LabelTable& table, const Term& term, const std::vector<Term>& main,
                    const Labels& keys);

/// True where what else was maximised beside the scores `main` was added to them, too (in `shift`): then
/// nothing but the row's own maximum is subtracted.
bool shifts_alike(const View& view, LabelTable& table, const Term& maximum, const std::vector<Term>& main,
                  const std::vector<Term>& shift);

/// Why a product is no probability.
struct Refusal {
  Reason reason = Reason::none;
  NodeId node = -1;
  std::string detail, sentence, nearest;

  /// Says why; false, for callers to return.
  bool because(Reason why, NodeId at, std::string what, std::string instead, std::string op = "") {
    *this = {why, at, std::move(op), std::move(what), std::move(instead)};
    return false;
  }
};

/// An operation between the softmax and the values that does not multiply the probabilities.
Refusal no_factor(NodeId node, const std::string& op);

/// Brings the product to that form; false with the reason where it cannot be.
bool normalise(const View& view, LabelTable& table, Product product, const Labels& keys, Probability& out,
               Refusal& why);

}  // namespace fovea::match
