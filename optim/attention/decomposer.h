// Takes a value apart into a product of exponentials, factors and sums.
#pragma once

#include "optim/attention/probability.h"

namespace fovea::match {

class Decomposer {
  /// A factor to the power `sign` (1 or -1), or exp(scale * ref).
  struct Item {
    Ref ref;
    int sign;
    bool exponent;
    double scale = 1;
  };

 public:
  Decomposer(const View& view, LabelTable& table, int side) : view_(view), table_(table), side_(side) {}

  Product run(const Ref& ref, int depth) { return take_apart({ref, 1, false}, depth); }
  /// exp of `ref`.
  Product run_exponent(const Ref& ref, int depth, double scale = 1) {
    Product p = take_apart({ref, 1, true, scale}, depth);
    p.has_exponential = true;
    return p;
  }

 private:
  static constexpr size_t kMostItems = 512;  // taken apart for one candidate
  static constexpr int kDeepest = 6;         // sums within sums
  friend std::vector<Term> exponent_terms(const View& view, LabelTable& table, const Ref& ref);

  Product take_apart(Item first, int depth);
  void exponent(const Item& i, Product& p, std::vector<Item>& open, int depth);
  void factor(const Item& i, Product& p, std::vector<Item>& open, int depth);
  bool is_row_factor(const Item& i, const Product& p) const;
  bool is_safe_softplus(const Item& i) const;
  std::shared_ptr<Denominator> one_more(const Ref& exponent, const Item& i, int depth);
  void logistic(const Item& i, Product& p, std::vector<Item>& open, int depth);
  bool contract(const Item& i, Product& p, std::vector<Item>& open);

  // sums.cpp
  std::optional<Ref> part_of(const Ref& ref);
  void add_sum(Denominator& sum, Addend a);
  Addend summed(const Ref& ref, const Item& i, bool exponent, int depth);
  std::shared_ptr<Denominator> softmax_sum(const Item& i, int depth);
  bool summed_by_product(const Item& i, Product& p, int depth);
  bool reads_ones(Ref ref);
  bool denominator(const Item& i, Product& p, int depth);
  bool zero_test(const Item& i, Denominator& sum, std::vector<Ref>& open);

  // guards.cpp
  bool guarded(const Item& i, Product& p, std::vector<Item>& open, int depth);
  bool never_holds(Value condition) const;
  bool is_finite(Value v) const;
  bool hides_division(const Ref& guarded, int depth);
  bool tests_nan(const Ref& condition, const Ref& x, bool nan);
  /// What a condition is for a probability that is NaN, and for any other.
  struct Says {
    bool of_nan, of_number;
  };
  std::optional<Says> says(Ref condition, const Ref& x, int depth);

  const Node& node(const Item& i) const { return view_.node(i.ref.value); }
  Ref input(const Item& i, size_t n = 0) const { return operand(view_, i.ref, n); }
  bool to_view(const Item& i, std::vector<Item>& open);
  bool floating_cast(const Item& i) const;
  bool is_positive(Value v) const;
  bool is_zero(Value v) const;
  Ref behind(Ref ref);
  Value unwrapped(Value v) const;

  const View& view_;
  LabelTable& table_;
  int side_;
  size_t items_ = 0;
};

}  // namespace fovea::match
