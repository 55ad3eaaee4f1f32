// Scores that are written twice, in other words: what is equal must be found equal, and nothing else.
#include "tests/corpus/attention/forms.h"

namespace fovea::corpus {
namespace {

Ts of_weights(const Ts& x, const Tensor& p) { return Ts{matmul(p, x[2])}; }
Ts of_exponent(const Ts& x, const Tensor& s, const Tensor& again) {
  return of_weights(x, exp(s - logsumexp(again, {-1}, true)));
}
Tensor reciprocal_of(const Ts& x, double n) { return reciprocal(full({}, n, x[0].dtype())); }

// Every third key is masked by a finite number.
Tensor penalty(const Ts& x, double fill) {
  Array m(x[0].dtype(), {1, 1, 1, x[1].dim(2).value()});
  for (int64_t j = 0; j < m.size(); ++j) m.set_flat(j, j % 3 == 1 ? fill : 0);
  return Tensor(m);
}

// Results that are numbers where the untouched operations give numbers.
void expect_close_where_finite(const std::vector<Array>& exact, const std::vector<Array>& got) {
  for (size_t i = 0; i < exact.size(); ++i) {
    int64_t finite = 0;
    for (int64_t j = 0; j < exact[i].size(); ++j) {
      if (!std::isfinite(exact[i].get_flat(j))) continue;
      ++finite;
      EXPECT_NEAR(exact[i].get_flat(j), got[i].get_flat(j), 1e-9) << "result " << i << ", element " << j;
    }
    EXPECT_GT(finite, 0) << "result " << i;
  }
}

const Form kForms[] = {
    {"AQuotientBesideAProductWithTheReciprocal", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scores_of(x);
       return of_exponent(x, s * reciprocal_of(x, std::sqrt(3)), s / std::sqrt(3));
     }},
    {"AQuotientBesideAProductWithTheRoundedReciprocal", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scores_of(x);
       return of_exponent(x, s / std::sqrt(3), s * (1 / std::sqrt(3)));
     }},
    {"ScaledBehindTheMaximumInTwoWays", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scores_of(x), s0 = s - top(s);
       return of_weights(x, exp(s0 / std::sqrt(3)) / total(exp(s0 * reciprocal_of(x, std::sqrt(3)))));
     }},
    {"NumbersThatMultiplyInTwoOrders", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scores_of(x);
       return of_exponent(x, s * 0.5 * 3.0, neg(neg(s) * 1.5));
     }},
    {"AMaskSubtractedAndItsOppositeAdded", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scores_of(x), e = exp((s - penalty(x, 65504)) - top(penalty(x, -65504) + s));
       return of_weights(x, e / (total(e) + 1e-16));
     },
     false},
    {"ADifferenceAndTheOppositeOfItsOpposite", 1, qkv_and([](const Sizes& s) {
       return std::vector<Spec>{{DType::f64, {s.b, 1, 1, s.k}}};
     }),
     [](const Ts& x) {
       const Tensor s = scores_of(x);
       return of_exponent(x, s - x[3], neg(x[3] - s));
     }},
    // Other numbers are other scores.
    {"TwoScales", 0, qkv,
     [](const Ts& x) {
       const Tensor s = scores_of(x);
       return of_exponent(x, s / std::sqrt(3), s / std::sqrt(3.001));
     }},
    {"TwoSigns", 0, qkv,
     [](const Ts& x) {
       const Tensor s = scores_of(x);
       return of_exponent(x, s - penalty(x, 1.5), s - penalty(x, -1.5));
     },
     false},
    {"TwoPenalties", 0, qkv,
     [](const Ts& x) {
       const Tensor s = scores_of(x);
       return of_exponent(x, s - penalty(x, 1.5), s - penalty(x, 1.6));
     },
     false},
};

TEST_P(Forms, Verdict) { check(GetParam()); }
INSTANTIATE_TEST_SUITE_P(Values, Forms, testing::ValuesIn(kForms), name_of);

std::vector<Spec> row_specs(const Sizes& s) {
  return {{DType::boolean, {s.b, 1, s.q, 1}}, {DType::f64, {1, s.h, 1, 1}}};
}
void first_row_masked(std::vector<Array>& in) {
  for (int64_t i = 0; i < in[3].size(); ++i) in[3].set_flat(i, i > 0);
}
const Form kRows[] = {
    // log(0) leaves the sum and comes back: it is no part of the sink.
    {"RowsMaskedByALogarithmBesideASink", 1, qkv_and(row_specs),
     [](const Ts& x) {
       const Tensor e = exp(scores_of(x) + log(cast(x[3], DType::f64)));
       return of_weights(x, e / (exp(x[4]) + total(e)));
     },
     true, false, first_row_masked},
    // Minus infinity times 0, the index of the first query, makes the row no number, and the guard 0.
    {"AMaskTimesAnIndexUnderAGuard", 0, qkv_and(row_specs),
     [](const Ts& x) {
       const Tensor drop = iota({x[1].dim(2)}, 0) >= 2, places = iota({x[0].dim(2), 1}, 0);
       const Tensor p = softmax(where(drop, -kInf, scores_of(x)) * cast(places, DType::f64), -1);
       return of_weights(x, where(is_nan(p), 0.0, p));
     },
     false},
    // The mean is far below the scores that are kept: 0 / 0, which the guard makes 0.
    {"AMaximumLessTheMeanUnderAGuard", 0, qkv,
     [](const Ts& x) {
       const Tensor s = scores_of(x) - penalty(x, 1e4), e = exp(s - top(s - mean(s, {-1}, true)));
       const Tensor p = e / total(e);
       return of_weights(x, where(is_nan(p), 0.0, p));
     },
     false},
};
INSTANTIATE_TEST_SUITE_P(Rows, Forms, testing::ValuesIn(kRows), name_of);

// Where the mask that hid a division by 0 is the scores' own, it does so in the gradients, too.
TEST(AttentionValues, AMaskHidesADivisionByZero) {
  const Sizes sizes;
  const auto arguments = qkv_and([](const Sizes& s) {
    return std::vector<Spec>{
        {DType::boolean, {s.b, 1, 1, s.k}}, {DType::f64, {s.b, 1, 1, 1}}, {DType::f64, {s.b, s.h, s.q, 1}}};
  });
  const auto before = trace(
      [](const Ts& x) {
        const Tensor e = exp(where(x[3], scores_of(x), -kInf));
        return of_weights(x, where(x[3], e / (total(e) * x[4]), 0.0) * sigmoid(x[5]));
      },
      arguments(sizes));
  const auto after = recognised(before);
  EXPECT_EQ(count_of(after->function("main"), "attention"), 1);
  const auto wide = with_gradients(before);
  std::vector<Array> in = random_inputs(*wide, {}, 3);
  // The first sequence has no key, and is divided by 0.
  for (int64_t i = 0; i < in[3].size(); ++i) in[3].set_flat(i, i >= in[3].size() / 2);
  for (int64_t i = 0; i < in[4].size(); ++i) in[4].set_flat(i, static_cast<double>(i));
  expect_close_where_finite(run_reference(wide, in), run_reference(with_gradients(after), in));
}

// A gate behind a mask of whole heads: rows without keys are no numbers there, and their gates have
// gradients.
TEST(AttentionValues, AMaskOfHeadsHidesRowsWithoutKeysFromGates) {
  const Sizes sizes;
  const auto arguments = qkv_and([](const Sizes& s) {
    return std::vector<Spec>{{DType::boolean, {s.b, 1, 1, s.k}}, {DType::f64, {s.b, s.h, s.q, 1}}};
  });
  const auto before = trace(
      [](const Ts& x) {
        const Tensor p = softmax(where(x[3], scores_of(x), -kInf), -1);
        return of_weights(x, where(iota({1, p.dim(1), 1, 1}, 1) >= 1, p, 0.0) * sigmoid(x[4]));
      },
      arguments(sizes));
  const auto after = recognised(before);
  EXPECT_EQ(count_of(after->function("main"), "attention"), 1);
  const auto wide = with_gradients(before);
  std::vector<Array> in = random_inputs(*wide, {}, 3);
  for (int64_t i = 0; i < in[3].size(); ++i) in[3].set_flat(i, i >= in[3].size() / 2);
  expect_close_where_finite(run_reference(wide, in), run_reference(with_gradients(after), in));
}

std::vector<Spec> in_f32(std::vector<Spec> arguments) {
  for (Spec& x : arguments)
    if (x.type.dtype == DType::f64) x.type.dtype = DType::f32;
  return arguments;
}
FusionRecord only_record(const std::shared_ptr<Module>& module) {
  std::vector<FusionRecord> records;
  recognised(module, &records);
  EXPECT_EQ(records.size(), 1U);
  return records.at(0);
}

// Two fills, one of them taken away, that a multiple would make infinite before the maximum is subtracted. A
// change of base in a narrow type is no such multiple.
TEST(AttentionValues, FillsTakenAwayThenMultiplied) {
  constexpr double kLowest = std::numeric_limits<float>::lowest();
  const std::vector<Spec> arguments = in_f32(qkv_and(row_specs)(Sizes{}));
  const auto record_of = [&](double multiple) {
    const auto before = trace(
        [&](const Ts& x) {
          const Tensor drop = cast(iota({1, 1, 1, x[1].dim(2)}, 3) >= 3, DType::f32);
          const Tensor s = where(x[3], scores_of(x), kLowest) - drop * -kLowest;
          const Tensor e = exp((s - top(s)) * multiple + 1.0);
          return Ts{matmul(e / total(e), x[2])};
        },
        arguments);
    return only_record(before);
  };
  EXPECT_EQ(code_of(record_of(2)), "EMPTY_ROW");
  EXPECT_TRUE(record_of(1.0018).fused);
}

// A fill that a multiple makes infinite, beside another one that stands in a tensor.
TEST(AttentionValues, AFillMultipliedBesideATensorOfFills) {
  constexpr double kLowest = std::numeric_limits<float>::lowest();
  const std::vector<Spec> arguments = in_f32(qkv_and([](const Sizes& s) {
    return Specs{{DType::boolean, {s.b, 1, s.q, s.k}}, {DType::boolean, {s.b, 1, 1, s.k}}};
  })(Sizes{}));
  const auto record_of = [&](double fill) {
    const auto before = trace(
        [&](const Ts& x) {
          const Tensor s = where(x[3], scores_of(x), fill) * 2.0;
          return Ts{matmul(softmax(s - cast(x[4], DType::f32) * -fill, -1), x[2])};
        },
        arguments);
    return only_record(before);
  };
  EXPECT_EQ(code_of(record_of(kLowest)), "EMPTY_ROW");
  EXPECT_TRUE(record_of(-1e30).fused);
}

// Weights that are no numbers are hidden, which factors of 0 would not do.
TEST(AttentionValues, WeightsThatAreAllReplacedAreRefused) {
  Sizes sizes;
  sizes.b = 1;
  const auto before = trace(
      [](const Ts& x) {
        const Tensor p = softmax(scores_of(x), -1);
        return of_weights(x, where(iota(p.shape(), 0) >= 1, p, 0.0));
      },
      qkv(sizes));
  std::vector<FusionRecord> records;
  EXPECT_EQ(count_of(recognised(before, &records)->function("main"), "attention"), 0);
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(code_of(records[0]), "COST");
  EXPECT_EQ(records[0].sentence, "behind the softmax all weights are replaced by 0");
}

}  // namespace
}  // namespace fovea::corpus
