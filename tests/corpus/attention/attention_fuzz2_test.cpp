// Spellings on which the fuzzer found results that differ, or attention that was not seen, continued.
#include "tests/corpus/attention/lengths.h"

namespace fovea::corpus {
namespace {

// Exponentials over their sum, 0 / 0 made 0: fused only where the sum is known to be at least 1.
Tensor divided(const Tensor& e) {
  const Tensor d = total(e);
  return e / where(equal(d, 0.0), 1.0, d);
}

Array dropped(const Tensor& keys, double fill) {
  Array a(DType::f64, {1, 1, 1, keys.dim(2).value()});
  for (int64_t j = 0; j < a.size(); ++j) a.set_flat(j, j % 3 == 1 ? fill : 0);
  return a;
}

const Form kForms[] = {
    // A difference from a constant is a sum with its opposite, which folding makes a constant, too.
    {"AMaximumOfASumWithTheOppositeConstant", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scores_of(x);
       const Tensor own = s - Tensor(dropped(x[1], 1e9)), other = s + Tensor(dropped(x[1], -1e9));
       return Ts{matmul(divided(exp(own - top(other))), x[2])};
     },
     false},
    {"AMaximumOfASumWithAMaskThatDropsNothing", 1, kLengths,
     [](const Ts& x) {
       const Tensor s = where(keep(x), scores_of(x), -1e9);
       const Tensor own = s - Tensor(dropped(x[1], 0.0)), other = s + Tensor(dropped(x[1], -0.0));
       return Ts{matmul(divided(exp(own - top(other))), x[2])};
     },
     false, false, lengths},
    {"AMaximumOfAProductWithTheOppositeNumber", 1, kLengths,
     [](const Ts& x) {
       const Tensor drop = cast(logical_not(keep(x)), x[0].dtype()), s = scores_of(x);
       return Ts{matmul(divided(exp((s + drop * -65504.0) - top(s - 65504.0 * drop))), x[2])};
     },
     true, false, lengths},
    // One condition in several spellings.
    {"AMaximumBehindAnotherComparison", 1, kLengths,
     [](const Ts& x) {
       const Tensor j = iota({1, x[1].dim(2)}, 1), s = scores_of(x);
       const Tensor own = where(j < x[3], s, -1e9), other = where(logical_not(x[3] > j), -1e9, s);
       return Ts{matmul(divided(exp(own - top(other))), x[2])};
     },
     true, false, lengths},
    {"AMaximumBehindTheOppositeComparison", 1, kLengths,
     [](const Ts& x) {
       const Tensor j = iota({1, x[1].dim(2)}, 1), s = scores_of(x);
       const Tensor own = where(j < x[3], s, -1e9);
       return Ts{matmul(divided(exp(own - top(where(j >= x[3], -1e9, s)))), x[2])};
     },
     true, false, lengths},
    {"AMaximumBehindAConditionAsANumber", 1, kLengths,
     [](const Ts& x) {
       const Tensor s = scores_of(x), kept = keep(x), as_number = cast(kept, DType::i32);
       const Tensor own = where(not_equal(as_number, 0), s, -1e9);
       return Ts{matmul(divided(exp(own - top(where(equal(as_number, 0), -1e9, s)))), x[2])};
     },
     true, false, lengths},
    // The scores as K Q^T, below a bias and a mask.
    {"AMaximumOfATransposedProductBelowAMask", 1, kLengths,
     [](const Ts& x) {
       const Tensor other = matmul(x[1], x[0].transpose(-1, -2)).transpose(-1, -2);
       const Tensor own = where(keep(x), scores_of(x) * 0.5, -1e9);
       return Ts{matmul(divided(exp(own - top(where(keep(x), other * 0.5, -1e9)))), x[2])};
     },
     true, false, lengths},
    {"AMaximumOfTheFirstOfTwoTransposedProducts", 1, kLengths,
     [](const Ts& x) {
       const Tensor first = matmul(x[1], x[0].transpose(-1, -2)).transpose(-1, -2);
       const Tensor other = where(keep(x), first * 0.5, -1e9);
       const Tensor own = where(keep(x), scores_of(x) * 0.5, -1e9);
       return Ts{matmul(divided(exp(own - top(other))), x[2])};
     },
     true, false, lengths},
    // Not the same: the condition turned round.
    {"AMaximumOfTheMaskedScores", 0, kLengths,
     [](const Ts& x) {
       const Tensor s = scores_of(x), kept = keep(x);
       return Ts{matmul(divided(exp(where(kept, s, -1e9) - top(where(kept, -1e9, s) + 1e4))), x[2])};
     },
     true, false, lengths},
    // A term a query shifts scores and maximum alike: the sum is at least 1, beside which 1e-20 is lost.
    {"AnEpsilonBesideATermOfTheQuery", 1, qkv_and([](const Sizes& s) {
       return Specs{{DType::f64, {s.b, s.h, s.q, 1}}};
     }),
     [](const Ts& x) {
       // Products of projections, written as sums.
       const Tensor q = matmul(x[0], Tensor(Array::full(DType::f64, {3, 3}, 0.5))) + x[0];
       const Tensor s = sum(unsqueeze(q, -2) * unsqueeze(x[1], -3), {-1});
       const Tensor e = exp(s + x[3] - top(s + x[3]));
       return Ts{matmul(e / (total(e) + 1e-20), x[2])};
     }},
    // A mean over scores and a sink holds the fill, however the mean is written.
    {"AMeanAsASumBesideASink", 0, qkv_and([](const Sizes& s) {
       return Specs{{DType::i64, {s.b, 1, 1, 1}}, {DType::f64, {1, s.h, 1, 1}}};
     }),
     [](const Ts& x) {
       const Tensor s = where(keep(x), scores_of(x), -1e9);
       const Tensor sink = broadcast_to(x[4], {s.dim(0), s.dim(1), s.dim(2), 1});
       const Tensor all = concat({s, sink}, -1), less = all - total(all) / 3.0;
       return Ts{matmul(slice(softmax(less, -1), -1, 0, x[1].dim(2)), x[2])};
     },
     false, false, lengths},
    // The maxima of other sequences, whose rows may all be masked.
    {"MaximaRolledOverSequencesUnderAGuard", 0, kLengths,
     [](const Ts& x) {
       const Tensor s = where(keep(x), scores_of(x), -kInf), most = top(s);
       const Tensor e = exp(s - concat({slice(most, 0, 1, 2), slice(most, 0, 0, 1)}, 0));
       return Ts{matmul(guarded(e / total(e)), x[2])};
     },
     false, false, lengths},
    {"MaximaTurnedOverSequencesOfMaskedScores", 0, kLengths,
     [](const Ts& x) {
       const Tensor s = where(keep(x), scores_of(x), -1e30);
       return Ts{matmul(softmax(s - 0.5 * flip(top(s), {0}), -1), x[2])};
     },
     true, false, lengths},
    // A maximum of the row, but not for all rows, or not of this row alone.
    {"AMaximumOfSomeHeadsUnderAGuard", 0, qkv_and([](const Sizes& s) {
       return Specs{{DType::i64, {s.b, 1, 1, s.k}}};
     }),
     [](const Ts& x) {
       const Tensor s = scores_of(x) + (1.0 - cast(x[3], DType::f64)) * -1e4, most = top(s);
       const Tensor e = exp(s - where(iota(most.shape(), 1) >= 1, most, 0.0));
       return Ts{matmul(guarded(e / total(e)), x[2])};
     },
     true, false, [](std::vector<Array>& in) { in[3] = Array::full(DType::i64, in[3].shape(), 0); }},
    {"SumsOfMaximaOverSequencesUnderAGuard", 0, kLengths,
     [](const Ts& x) {
       const Tensor s = scores_of(x) + log(cast(keep(x), DType::f64)), e = exp(s - cumsum(top(s), 0));
       return Ts{matmul(guarded(e / total(e)), x[2])};
     },
     false, false, lengths},
    {"AMaximumThatIsReplacedWhereItIsInfinite", 1, kLengths,
     [](const Ts& x) {
       const Tensor s = where(keep(x), scores_of(x), -kInf), most = top(s);
       const Tensor e = exp(s - where(most <= -1e30, 0.0, most));
       return Ts{matmul(guarded(e / total(e)), x[2])};
     },
     true, false, lengths},
};

TEST_P(Forms, MeansTheSame) { check(GetParam()); }
INSTANTIATE_TEST_SUITE_P(Fuzz2, Forms, testing::ValuesIn(kForms), name_of);

std::vector<FusionRecord> records_of(const std::shared_ptr<Module>& module) {
  std::vector<FusionRecord> records;
  recognised(module, &records);
  expect_explained(records);
  return records;
}

// The lowest number of f32 is minus infinity in bf16, and 0 times that is NaN for every key that is kept.
TEST(AttentionFuzz2, AFillThatItsTypeRoundsToInfinityIsRefused) {
  const auto form = [](double fill) {
    const DType half = DType::bf16;
    return trace(
        [fill, half](const Ts& x) {
          const Tensor drop = 1.0 - cast(x[3], half), s = scores_of(x) + drop * fill;
          return Ts{matmul(where(x[3], softmax(s, -1), 0.0), x[2])};
        },
        Specs{{half, {2, 4, 4}}, {half, {2, 5, 4}}, {half, {2, 5, 4}}, {DType::boolean, {2, 4, 5}}});
  };
  const auto refused = records_of(form(-3.4028234663852886e38));
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(code_of(refused[0]), "DTYPE");
  EXPECT_NE(refused[0].sentence.find("no number"), std::string::npos) << refused[0].sentence;
  const auto fused = records_of(form(-3.3895313892515355e38));
  ASSERT_EQ(fused.size(), 1U);
  EXPECT_TRUE(fused[0].fused) << fused[0].sentence;
}

// A sink of 0 keeps no masked row from 0 / 0, and has a gradient that its logarithm has not.
TEST(AttentionFuzz2, ASinkThatMayBeZeroIsRefused) {
  const auto form = [](bool positive) {
    return trace(
        [positive](const Ts& x) {
          const Tensor e = exp(scores_of(x) + where(keep(x), 0.0, -65504.0));
          const Tensor places = cast(iota({x[0].dim(2), 1}, 0), x[0].dtype());
          const Tensor sink = exp(x[4]) * (positive ? exp(places) : places);
          return Ts{matmul(guarded(e / (total(e) + sink)), x[2])};
        },
        qkv_and([](const Sizes& s) {
          return Specs{{DType::i64, {s.b, 1, 1, 1}}, {DType::f64, {1, s.h, 1, 1}}};
        })(Sizes{}));
  };
  const auto refused = records_of(form(false));
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(code_of(refused[0]), "DENOMINATOR");
  EXPECT_NE(refused[0].sentence.find("may be 0"), std::string::npos) << refused[0].sentence;
  EXPECT_TRUE(records_of(form(true)).at(0).fused);
}

// Fills that were chosen and fills that were added are one number, whatever multiplies them: a row that holds
// nothing else weighs its keys alike.
TEST(AttentionFuzz2, FillsOfBothKindsStayEqual) {
  for (const double scale : {0.3, 0.7, 1.1, 1.4426950408889634})
    for (const bool as_tensor : {false, true}) {
      const auto module = trace(
          [&](const Ts& x) {
            const Tensor drop = (1.0 - cast(x[3], x[0].dtype())) * -1e30;
            const Tensor added = as_tensor ? reshape(softmax(drop, 1) * drop, drop.shape()) : drop;
            const Tensor s = where(x[3], -1e30, scores_of(x) + added);
            const Tensor e = pow(full({}, 2.0, s.dtype()), (s - top(s)) * scale);
            return Ts{matmul(e / total(e), x[2])};
          },
          qkv_and([](const Sizes& s) {
            return Specs{{DType::boolean, {1, 1, 1, s.k}}};
          })(Sizes{}));
      const std::vector<Array> in =
          cast_all(cast_all(random_inputs(*module, {}, 3), DType::f64, DType::f32), DType::f32, DType::f64);
      Program program(narrowed(module), "main");
      const std::vector<Array> out = program.run(cast_all(in, DType::f64, DType::f32));
      expect_launches(program, 1);
      expect_close(run_reference(module, in), out, 1e-5, "times " + std::to_string(scale));
    }
}

double square_error(const Array& got, const Array& exact) {
  double sum = 0;
  for (int64_t i = 0; i < got.size(); ++i) sum += std::pow(got.get_flat(i) - exact.get_flat(i), 2);
  return std::sqrt(sum / static_cast<double>(got.size()));
}

// A learned number that multiplies large scores multiplies what rounding leaves of the sum of a row's
// gradients, too: 0 in exact arithmetic, and when the gradient passes through the maximum.
TEST(AttentionFuzz2, AGradientOfALearnedScaleIsAsExactAsItsOperations) {
  for (const int64_t keys : {2, 3, 40}) {
    Sizes sizes;
    sizes.b = 16, sizes.h = 4, sizes.q = 4, sizes.k = keys, sizes.d = 2;
    const auto module = with_gradients(trace(
        [](const Ts& x) {
          const Tensor s = exp(x[3] + 2.5) * scores_of(x), e = exp(s - top(s));
          return Ts{matmul(e / total(e), x[2])};
        },
        qkv_and([](const Sizes& s) {
          return Specs{{DType::f64, {s.b, s.h, 1, 1}}};
        })(sizes)));
    const std::vector<Array> in =
        cast_all(cast_all(random_inputs(*module, {}, 3), DType::f64, DType::f32), DType::f32, DType::f64);
    const std::vector<Array> exact = run_reference(module, in);
    const auto narrow = narrowed(module);
    CompileOptions untouched;
    untouched.optimise = false;
    Program fused(narrow, "main"), plain(narrow, "main", untouched);
    const double mine = square_error(fused.run(cast_all(in, DType::f64, DType::f32)).back(), exact.back());
    const double theirs = square_error(plain.run(cast_all(in, DType::f64, DType::f32)).back(), exact.back());
    expect_launches(fused, 1);
    EXPECT_LE(mine, 1.5 * theirs) << keys << " keys";
  }
}

// A product with the values that is written as a sum has its record, as a matrix product has.
TEST(AttentionFuzz2, ASumOfWeightedValuesIsExplained) {
  const auto form = [](bool summed) {
    return trace(
        [summed](const Ts& x) {
          const Tensor s = scores_of(x), e = exp(s), p = e / (total(e) + exp(total(s)));
          return Ts{summed ? sum(unsqueeze(p, -1) * unsqueeze(x[2], 2), {3}) : matmul(p, x[2])};
        },
        qkv(Sizes{}));
  };
  for (const bool summed : {false, true}) {
    const auto records = records_of(form(summed));
    ASSERT_EQ(records.size(), 1U) << summed;
    EXPECT_EQ(code_of(records[0]), "DENOMINATOR") << summed << records[0].sentence;
  }
}

}  // namespace
}  // namespace fovea::corpus
