// Spellings on which the fuzzer found results that differ from the untouched operations.
#include "tests/corpus/attention/lengths.h"

namespace fovea::corpus {
namespace {

void whole_numbers(Array& x) {  // 0, 1, 2, 0 ...
  for (int64_t i = 0; i < x.size(); ++i) x.set_flat(i, static_cast<double>(i % 3));
}

const Form kForms[] = {
    // The mean is minus infinity, and minus infinity less that is NaN.
    {"MeanOfMaskedScoresUnderAGuard", 0, kLengths,
     [](const Ts& x) {
       const Tensor s = where(keep(x), scores_of(x), -kInf);
       return Ts{matmul(guarded(softmax(s - mean(s, {-1}, true), -1)), x[2])};
     },
     true, false, lengths},
    // Q K^T and the transposed K Q^T are the same scores.
    {"OneProductSpelledTwice", 1, kLengths,
     [](const Ts& x) {
       const Tensor other = matmul(x[1], x[0].transpose(-1, -2)).transpose(-1, -2);
       return Ts{matmul(exp(scores_of(x) - logsumexp(other, {-1}, true)), x[2])};
     },
     true, false, lengths},
    // The same, the transposed product first.
    {"OneProductSpelledTwiceTheOtherWayRound", 1, kLengths,
     [](const Ts& x) {
       const Tensor s = matmul(x[1], x[0].transpose(-1, -2)).transpose(-1, -2);
       return Ts{matmul(exp(s - logsumexp(scores_of(x), {-1}, true)), x[2])};
     },
     true, false, lengths},
    {"OneProductSpelledTwiceOfScaledKeys", 1, kLengths,
     [](const Ts& x) {
       const Tensor k = x[1] * 0.5, turned = k.transpose(-1, -2).transpose(-1, -2);
       const Tensor s = matmul(turned, x[0].transpose(-1, -2)).transpose(-1, -2);
       return Ts{matmul(exp(matmul(x[0], k.transpose(-1, -2)) - logsumexp(s, {-1}, true)), x[2])};
     },
     true, false, lengths},
    // Guards against division by 0 as people put them.
    {"ASumThatMayBeZeroBehindItsTest", 1, kLengths,
     [](const Ts& x) {
       const Tensor e = exp(where(keep(x), scores_of(x), -kInf)), d = total(e);
       return Ts{matmul(e / where(equal(0.0, d), 1.0, d), x[2])};
     },
     true, false, lengths},
    {"ASumThatMayBeZeroUnlessItIsPositive", 1, kLengths,
     [](const Ts& x) {
       const Tensor e = exp(where(keep(x), scores_of(x), -kInf)), d = total(e);
       return Ts{matmul(e / where(logical_not(less(0.0, d)), 1.0, d), x[2])};
     },
     true, false, lengths},
    // A term a query shifts scores and maximum alike, so that the sum is at least 1.
    {"ASumWithAFloorBesideATermOfTheQuery", 1, qkv_and([](const Sizes& s) {
       return Specs{{DType::f64, {s.b, s.h, s.q, 1}}};
     }),
     [](const Ts& x) {
       const Tensor s = sum(unsqueeze(x[0], -2) * unsqueeze(x[1], -3), {-1}) * 0.5 + x[3];
       const Tensor e = exp(s - top(s));
       return Ts{matmul(e / clip(total(e), 1e-9, kInf), x[2])};
     }},
    // One choice in two spellings, by a constant and by its opposite.
    {"AChoiceByAConstantAndByItsOpposite", 1, qkv,
     [](const Ts& x) {
       Array kept(DType::boolean, {1, 1, 1, x[1].dim(2).value()}), dropped = kept.copy();
       for (int64_t j = 0; j < kept.size(); ++j) {
         kept.set_flat(j, j % 3 != 1);
         dropped.set_flat(j, j % 3 == 1);
       }
       const Tensor s = scores_of(x), turned = where(Tensor(dropped), -1e4, s);
       return Ts{matmul(exp(where(Tensor(kept), s, -1e4) - logsumexp(turned, {-1}, true)), x[2])};
     },
     false},
    // Scores whose maximum is taken in another spelling.
    {"AMaximumOfADifferenceSpelledAsASum", 1, kLengths,
     [](const Ts& x) {
       const Tensor drop = cast(logical_not(keep(x)), x[0].dtype()) * 65504.0, s = scores_of(x);
       const Tensor e = exp((s - drop) - top(neg(drop) + s)), d = total(e);
       return Ts{matmul(guarded(e / where(equal(d, 0.0), 1.0, d)), x[2])};
     },
     true, false, lengths},
    // The maxima of other rows.
    {"AMaximumTurnedRoundUnderAGuard", 0, kLengths,
     [](const Ts& x) {
       const Tensor s = where(keep(x), scores_of(x), -1e9), e = exp(s - flip(top(s), {0}));
       return Ts{matmul(guarded(e / total(e)), x[2])};
     },
     true, false, lengths},
    // A mean that may be far below the scores: 0 / 0, which the guard makes 0.
    {"AMeanOfMaximaUnderAGuard", 0, qkv_and([](const Sizes& s) {
       return Specs{{DType::f64, {s.b, 1, 1, s.k}}};
     }),
     [](const Ts& x) {
       const Tensor s = scores_of(x) + x[3], e = exp(s - top(s) + mean(top(s), {1}, true)), d = total(e);
       return Ts{matmul(e / where(equal(d, 0.0), 1.0, d), x[2])};
     },
     true, false,
     [](std::vector<Array>& in) {
       for (int64_t i = 0; i < in[3].size(); ++i) in[3].set_flat(i, -1e4);
     }},
    // A maximum of other numbers is NaN where nothing of the row's own is; the guard makes the row 0.
    {"AMaximumOfOtherNumbersUnderAGuard", 0, kLengths,
     [](const Ts& x) {
       const Tensor s = where(keep(x), scores_of(x), -kInf);
       const Tensor e = exp(s - top(softmax(s, -2)));
       return Ts{matmul(guarded(e / total(e)), x[2])};
     },
     true, false, lengths},
    // The scores of a row may be far below the largest of all rows: 0 / 0, which the guard makes 0.
    {"AMaximumOverAllRowsUnderAGuard", 0, kLengths,
     [](const Ts& x) {
       const Tensor s = where(keep(x), scores_of(x), -1e4);
       const Tensor e = exp(s - max(s, {0, 1, 2, 3}, true));
       return Ts{matmul(guarded(e / total(e)), x[2])};
     },
     true, false, lengths},
    // Without a mask, nothing is far below.
    {"AMaximumOverAllRows", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scores_of(x), e = exp(s - max(s, {0, 1, 2, 3}, true));
       return Ts{matmul(e / total(e), x[2])};
     }},
    // 0 / 0 is NaN, which the guard makes 0; 0 * (1 / 0) would stay NaN.
    {"DivisionByZeroUnderAGuard", 0, qkv_and([](const Sizes& s) {
       return Specs{{DType::i64, {s.b, 1, 1, 1}}, {DType::f64, {s.b, 1, 1, 1}}};
     }),
     [](const Ts& x) {
       const Tensor e = exp(scores_of(x) + where(keep(x), 0.0, -65504.0));
       return Ts{matmul(guarded(e / ((total(e) + 1.0) * x[4])), x[2])};
     },
     true, false,
     [](std::vector<Array>& in) {
       lengths(in);
       in[4].set_flat(0, 0);
     }},
    // The same division, by a number.
    {"DivisionByANumberUnderAGuard", 1, kLengths,
     [](const Ts& x) {
       const Tensor e = exp(where(keep(x), scores_of(x), -kInf));
       return Ts{matmul(guarded(e / (total(e) * 2.0)), x[2])};
     },
     true, false, lengths},
    // A factor that is 0 in some rows leaves of the sum what is added to it.
    {"ASumTimesZeroBesideASink", 0, qkv_and([](const Sizes& s) {
       return Specs{{DType::f64, {1, 1, s.q, 1}}, {DType::f64, {1, s.h, 1, 1}}};
     }),
     [](const Ts& x) {
       const Tensor e = exp(scores_of(x));
       return Ts{matmul(e / (total(e) * x[3] + exp(x[4])), x[2])};
     },
     true, false, [](std::vector<Array>& in) { whole_numbers(in[3]); }},
    // The same where it cannot be 0.
    {"ASumTimesAPositiveFactorBesideASink", 1, qkv_and([](const Sizes& s) {
       return Specs{{DType::f64, {1, 1, s.q, 1}}, {DType::f64, {1, s.h, 1, 1}}};
     }),
     [](const Ts& x) {
       const Tensor e = exp(scores_of(x));
       return Ts{matmul(e / (total(e) * sigmoid(x[3]) + exp(x[4])), x[2])};
     }},
    // At 0 relu passes no gradient, and clip at its bounds all of it.
    {"BiasesAtTheirBounds", 1, qkv_and([](const Sizes& s) {
       return Specs{{DType::f64, {1, 1, 1, s.k}}, {DType::f64, {1, s.h, 1, s.k}}};
     }),
     [](const Ts& x) { return Ts{matmul(softmax(scores_of(x) + relu(x[3]) + clip(x[4], 0, 1), -1), x[2])}; },
     true, false,
     [](std::vector<Array>& in) {
       whole_numbers(in[3]);
       whole_numbers(in[4]);
     }},
    // The difference of two softmaxes stands behind views, a factor and a mask.
    {"DifferentialBehindViews", 2, qkv_and([](const Sizes& s) {
       return Specs{{DType::f64, {s.b, s.h, s.q, s.d}}, {DType::boolean, {s.b, 1, 1, s.k}}};
     }),
     [](const Ts& x) {
       const Tensor p = softmax(scores_of(x), -1), r = softmax(matmul(x[3], transpose(x[1], -1, -2)), -1);
       const Tensor weights = where(x[4], (p - r * 0.3) * 2.0, 0.0);
       return Ts{transpose(matmul(transpose(x[2], -1, -2), transpose(weights, -1, -2)), -1, -2)};
     }},
    {"DifferentialOfThreeAsASum", 3, qkv_and([](const Sizes& s) {
       return Specs{{DType::f64, {s.b, s.h, s.q, s.d}}, {DType::f64, {s.b, s.h, s.q, s.d}}};
     }),
     [](const Ts& x) {
       const Tensor k = transpose(x[1], -1, -2);
       const Tensor p = softmax(scores_of(x), -1) - 0.2 * softmax(matmul(x[3], k), -1) -
                        0.1 * softmax(matmul(x[4], k), -1);
       return Ts{sum(unsqueeze(p, -1) * unsqueeze(x[2], 2), {3})};
     }},
    // The maxima of the columns: empty rows and columns divide 0 by 1e-12.
    {"AMaximumOfTransposedScoresUnderAnEpsilon", 0, kLengths,
     [](const Ts& x) {
       const Tensor s = where(keep(x), scores_of(x), -65504.0), e = exp(s.transpose(-1, -2) - top(s));
       return Ts{matmul(e / (total(e) + 1e-12), x[2])};
     },
     true, true, lengths},
    // A mean spelled as a sum, beside a fill that leaves no digits of the scores.
    {"AMeanAsASumOfFilledScores", 0, kLengths,
     [](const Ts& x) {
       const Tensor s = where(keep(x), scores_of(x), -1e30);
       return Ts{matmul(softmax(s - total(s) * (1.0 / 7), -1), x[2])};
     },
     false, false, lengths},
    // K Q^T whose Q is transposed by the same permutation that moves its heads.
    {"AMaximumOfOneProductSpelledTwice", 1,
     [](const Sizes& s) {
       return Specs{{DType::f64, {s.b, s.q, s.h, s.d}},
                    {DType::f64, {s.b, s.h, s.k, s.d}},
                    {DType::f64, {s.b, s.h, s.k, s.e}}};
     },
     [](const Ts& x) {
       const Tensor s = matmul(permute(x[0], {0, 2, 1, 3}), x[1].transpose(-1, -2));
       const Tensor e = exp(s - top(matmul(x[1], permute(x[0], {0, 2, 3, 1})).transpose(-1, -2)));
       return Ts{matmul(e / clip(total(e), 1e-9, kInf), x[2])};
     }},
    // x - a and x + (-a) for a constant a, y - m c and y + m (-c).
    {"ConstantsTakenAwayAndTheirOppositesAdded", 1, kLengths,
     [](const Ts& x) {
       Array drop(DType::f64, {1, 1, 1, x[1].dim(2).value()}), opposite = drop.copy();
       for (int64_t j = 0; j < drop.size(); ++j) {
         drop.set_flat(j, j % 3 == 1 ? 65504 : 0);
         opposite.set_flat(j, j % 3 == 1 ? -65504 : 0);
       }
       const Tensor padded = cast(logical_not(keep(x)), DType::f64), s = scores_of(x);
       const Tensor one = (s - padded * 1e4) - Tensor(drop), two = (padded * -1e4 + s) + Tensor(opposite);
       return Ts{matmul(exp(one - logsumexp(two, {-1}, true)), x[2])};
     },
     false, false, lengths},
    // A mean taken before the mask is none of filled scores.
    {"AMeanBeforeTheMask", 1, kLengths,
     [](const Ts& x) {
       const Tensor s = scores_of(x);
       return Ts{matmul(softmax((s - mean(s, {-1}, true)) + where(keep(x), 0.0, -1e4), -1), x[2])};
     },
     true, false, lengths},
    // The mean is minus infinity, the scores NaN, and the mask behind them 0.
    {"AMaskLessItsMeanUnderTheMask", 0, kLengths,
     [](const Ts& x) {
       const Tensor drop = log(cast(keep(x), DType::f64));
       const Tensor p = softmax(scores_of(x) + (drop - mean(drop, {-1}, true)), -1);
       return Ts{matmul(where(keep(x), p, 0.0), x[2])};
     },
     true, false, lengths},
    {"AChosenMaskLessItsMeanUnderTheMask", 0, kLengths,
     [](const Ts& x) {
       const Tensor drop = where(keep(x), 0.0, -kInf);
       const Tensor p = softmax(scores_of(x) + (drop - mean(drop, {-1}, true)), -1);
       return Ts{matmul(where(keep(x), p, 0.0), x[2])};
     },
     true, false, lengths},
    // Of a maximum over other rows that are all masked, too.
    {"AMaximumTurnedRound", 0, kLengths,
     [](const Ts& x) {
       const Tensor s = where(keep(x), scores_of(x), -1e30), e = exp(s - flip(top(s), {0}));
       return Ts{matmul(e / total(e), x[2])};
     },
     true, false, lengths},
};

TEST_P(Forms, MeansTheSame) { check(GetParam()); }
INSTANTIATE_TEST_SUITE_P(Fuzz, Forms, testing::ValuesIn(kForms), name_of);

std::vector<Array> run_f32(const std::shared_ptr<Module>& module, const std::vector<Array>& in,
                           int attentions) {
  Program program(narrowed(module), "main");
  std::vector<Array> out = program.run(cast_all(in, DType::f64, DType::f32));
  expect_launches(program, attentions);
  return out;
}

// Three times the lowest number of f32 is another number in f64 only.
TEST(AttentionFuzz, FillsBeyondTheRangeOfTheTypeAreToldApart) {
  const auto form = [](double kept) {
    return trace(
        [kept](const Ts& x) {
          const Tensor drop = 1.0 - cast(keep(x), DType::f64);
          const Tensor s = scores_of(x) + (drop * 2.0 + kept) * -3.4028234663852886e38;
          const Tensor e = exp(s - top(s));
          return Ts{matmul(e / total(e), x[2])};
        },
        kLengths(Sizes{}));
  };
  for (const double kept : {1.0, 0.0}) {
    const auto module = form(kept);
    std::vector<Array> in = random_inputs(*module, {}, 3);
    in = cast_all(cast_all(in, DType::f64, DType::f32), DType::f32, DType::f64);
    in[3].set_flat(0, 3);
    in[3].set_flat(1, 5);
    expect_close(run_reference(module, in), run_f32(module, in, kept == 0), 1e-5,
                 "kept " + std::to_string(kept));
  }
}

// (1 - m) * -1e4 for whole numbers m is 0 where m is 1; -1e4 + 1e4 m would leave the scores three digits.
TEST(AttentionFuzz, SumsOfLargeNumbersStayTogetherBesideTwoProducts) {
  const auto module = trace(
      [](const Ts& x) {
        const Tensor q = matmul(x[0], x[5]);
        const auto with = [&](const Tensor& k) { return sum(unsqueeze(k, 2) * unsqueeze(q, 3), {4}); };
        const Tensor drop = (1.0 - cast(x[3], DType::f64)) * -10000.0;
        return Ts{matmul(softmax(drop + (with(x[1]) + with(x[4]) * 0.5) * 0.5, -1), x[2])};
      },
      qkv_and([](const Sizes& s) {
        return Specs{
            {DType::i64, {s.b, 1, s.q, s.k}}, {DType::f64, {s.b, s.h, s.k, s.d}}, {DType::f64, {s.d, s.d}}};
      })(Sizes{}));
  std::vector<Array> in = random_inputs(*module, {}, 3);
  in = cast_all(cast_all(in, DType::f64, DType::f32), DType::f32, DType::f64);
  for (int64_t i = 0; i < in[3].size(); ++i) in[3].set_flat(i, i % 3 != 0);
  expect_close(run_reference(module, in), run_f32(module, in, 1), 1e-6, "two products");
}

// Probabilities less themselves are 0, without any rounding.
TEST(AttentionFuzz, ProbabilitiesLessTheirMeanOverOneSequenceAreNothing) {
  Sizes sizes;
  sizes.b = 1;
  const auto module = trace(
      [](const Ts& x) {
        const Tensor p = softmax(scores_of(x), -1) / 0.75;
        return Ts{matmul(p - mean(p, {0}, true), x[2])};
      },
      qkv(sizes));
  std::vector<Array> in = random_inputs(*module, {}, 3);
  const std::vector<Array> out = run_f32(module, in, 0);
  for (int64_t i = 0; i < out[0].size(); ++i) EXPECT_EQ(out[0].get_flat(i), 0) << i;
}

// The same where the number of sequences is a symbol, by which the mean divides.
TEST(AttentionFuzz, ProbabilitiesLessTheirMeanStayAsWritten) {
  Sizes sizes;
  sizes.b = sym("B");
  const auto module = trace(
      [](const Ts& x) {
        const Tensor p = softmax(scores_of(x), -1);
        return Ts{matmul(p - mean(p, {0}, true), x[2])};
      },
      qkv(sizes));
  EXPECT_EQ(count_of(recognised(module)->function("main"), "attention"), 0);
}

// What is added to the sum may be 0, and then a row of low scores is 0 / 0, which the guard makes 0.
TEST(AttentionFuzz, AGuardBesideAnAddendThatMayBeZero) {
  const Sizes sizes;
  const auto module = trace(
      [](const Ts& x) {
        const Tensor e = exp(scores_of(x) + (1.0 - x[3]) * -1e4);
        return Ts{matmul(guarded(e / (total(e) + exp(x[4]) * x[5])), x[2])};
      },
      [&] {
        std::vector<Spec> all = qkv(sizes);
        all.push_back({DType::f64, {sizes.b, 1, 1, sizes.k}});
        for (int i = 0; i < 2; ++i) all.push_back({DType::f64, {1, sizes.h, 1, 1}});
        return all;
      }());
  std::vector<Array> in = random_inputs(*module, {}, 5);
  for (int64_t i = 0; i < in[3].size(); ++i) in[3].set_flat(i, 0);
  for (int64_t i = 0; i < in[5].size(); ++i) in[5].set_flat(i, i);
  expect_close(run_reference(module, in), run_reference(recognised(module), in), 1e-12, "rows of low scores");
}

// Exponentials turned, so that the mask drops whole rows: 0 beside exp(sink).
TEST(AttentionFuzz, AMaskOfRowsBesideASink) {
  Sizes sizes;
  sizes.q = sizes.k;
  const auto module = trace(
      [](const Ts& x) {
        const Tensor s = scores_of(x) + log(cast(x[3], DType::f64));
        const Tensor e = transpose(exp(s), -1, -2);
        return Ts{matmul(e / (total(e) + exp(x[4])), x[2])};
      },
      [&] {
        std::vector<Spec> all = qkv(sizes);
        all.push_back({DType::boolean, {1, 1, 1, sizes.k}});
        all.push_back({DType::f64, {1, sizes.h, 1, 1}});
        return all;
      }());
  std::vector<Array> in = random_inputs(*module, {}, 5);
  for (int64_t i = 0; i < in[3].size(); ++i) in[3].set_flat(i, i % 2 == 0 ? 1 : 0);
  expect_close(run_reference(module, in), run_reference(recognised(module), in), 1e-12, "rows masked");
}

// A softmax in f64 among f32: the node computes in f64, and the gradients of its f32 leaves are f32.
TEST(AttentionFuzz, LeavesOfAWiderSoftmaxGetTheirGradients) {
  const auto arguments = [](DType type) {
    return [type](const Sizes& s) {
      return Specs{{type, {s.b, s.h, s.q, s.d}}, {type, {s.b, s.h, s.k, s.d}}, {type, {s.b, s.h, s.k, s.e}},
                   {type, {s.b, s.h, s.q, s.k}}, {type, {1, 1, s.q, s.k}},     {type, {1, s.h, 1, s.k}}};
    };
  };
  const auto form = [](const Ts& x) {
    const Tensor s = scores_of(x) * x[3] + x[4] + x[5];
    return Ts{matmul(cast(softmax(cast(s, DType::f64), -1), x[0].dtype()), x[2])};
  };
  const auto wide = with_gradients(trace(form, arguments(DType::f64)(Sizes{})));
  const auto narrow = with_gradients(trace(form, arguments(DType::f32)(Sizes{})));
  std::vector<Array> in = cast_all(random_inputs(*wide, {}, 3), DType::f64, DType::f32);
  Program program(narrow, "main");
  const std::vector<Array> out = program.run(in);
  expect_launches(program, 1);
  expect_close(run_reference(wide, cast_all(in, DType::f32, DType::f64)), out, 1e-5, "f64 inside");
}

// A guard that the type of the sum rounds away, between wider ones.
TEST(AttentionFuzz, GuardsAreLostInTheTypeOfTheirSum) {
  const auto module = trace(
      [](const Ts& x) {
        const Tensor s = cast(scores_of(x), DType::f32), e = exp(s - top(s));
        return Ts{matmul(cast(e / (total(e) + 1e-12), x[0].dtype()), x[2])};
      },
      qkv(Sizes{}));
  const std::vector<Array> in = random_inputs(*module, {}, 3);
  Program program(module, "main");
  const std::vector<Array> out = program.run(in);
  expect_launches(program, 1);
  expect_close(run_reference(module, in), out, 1e-6, "f32 inside");
}

// A bias that is cut off everywhere has no gradient.
TEST(AttentionFuzz, ABiasBelowItsLimitHasNoGradient) {
  Sizes sizes;
  sizes.b = 1, sizes.h = 2, sizes.q = sizes.k = 3, sizes.d = 2, sizes.e = 1;
  const auto arguments = qkv_and([](const Sizes& s) {
    return Specs{{DType::f64, {1, 1, 1, s.k}}, {DType::f64, {1, 1, s.q, s.k}}};
  });
  const auto module = with_gradients(trace(
      [](const Ts& x) {
        const Tensor s = scores_of(x) + x[3] + relu(x[4]);
        const Tensor e = exp(s - top(s));
        return Ts{matmul(e, x[2]) / total(e)};
      },
      arguments(sizes)));
  for (const double sign : {1.0, -1.0}) {
    std::vector<Array> in = random_inputs(*module, {}, 7);
    for (int64_t i = 0; i < in[4].size(); ++i) in[4].set_flat(i, sign * (0.1 + std::fabs(in[4].get_flat(i))));
    in = cast_all(cast_all(in, DType::f64, DType::f32), DType::f32, DType::f64);
    expect_close(run_reference(module, in), run_f32(module, in, 1), 1e-5, "sign " + std::to_string(sign));
  }
}

// Explain says how weights and scores that are read elsewhere get there.
TEST(AttentionFuzz, RecordsSayWhatEscapes) {
  const auto said = [](const std::function<Ts(const Tensor&, const Tensor&, const Tensor&)>& more) {
    const auto module = trace(
        [more](const Ts& x) {
          const Tensor s = scores_of(x) * 0.25, p = softmax(s, -1);
          return more(s, p, matmul(p, x[2]));
        },
        qkv(Sizes{}));
    std::vector<FusionRecord> records;
    recognised(module, &records);
    EXPECT_EQ(records.size(), 1U);
    return records.empty() || !records[0].fused ? "" : records[0].sentence;
  };
  const auto has = [](const std::string& text, const std::string& part) {
    return text.find(part) != text.npos;
  };
  EXPECT_FALSE(has(said([](const auto&, const auto&, const auto& y) { return Ts{y}; }), "elsewhere"));
  EXPECT_TRUE(has(said([](const auto&, const auto& p, const auto& y) {
                    return Ts{y, mean(p, {1})};
                  }),
                  "; the weights are read elsewhere, too"));
  EXPECT_TRUE(has(said([](const auto& s, const auto&, const auto& y) {
                    return Ts{y, s};
                  }),
                  "; the scores are read elsewhere, too"));
}

// The probability of the only key is 1 and its gradient 0, without any rounding.
TEST(AttentionFuzz, TheScoreOfTheOnlyKeyHasNoGradient) {
  Sizes sizes;
  sizes.k = 1;
  sizes.d = 8;
  const auto module = with_gradients(
      trace([](const Ts& x) { return Ts{matmul(softmax(scores_of(x) * 0.25, -1), x[2])}; }, qkv(sizes)));
  const std::vector<Array> in = random_inputs(*module, {}, 7);
  const std::vector<Array> out = run_f32(module, in, 1);
  for (const size_t which : {1, 2})
    for (int64_t i = 0; i < out[which].size(); ++i)
      EXPECT_EQ(out[which].get_flat(i), 0) << which << ", " << i;
  expect_close({run_reference(module, in)[3]}, {out[3]}, 1e-6, "values");
}

}  // namespace
}  // namespace fovea::corpus
