// Spellings of softmax, what lies between it and the values, and what must not become attention.
#include <map>

#include "tests/corpus/attention/forms.h"

namespace fovea::corpus {
namespace {

Tensor scaled(const Ts& x) { return scores_of(x) / 2.0; }
auto with(DType type, std::function<Shape(const Sizes&)> shape) {
  return qkv_and([type, shape](const Sizes& s) { return Specs{{type, shape(s)}}; });
}
const auto kKeepKeys = with(DType::boolean, [](const Sizes& s) { return Shape{s.b, 1, 1, s.k}; });
const auto kKey = with(DType::i64, [](const Sizes&) { return Shape{2}; });

const Form kSoftmax[] = {
    {"Casts", 1, qkv,
     [](const Ts& x) {
       const Tensor s = cast(scaled(x), DType::f64);
       return Ts{matmul(cast(softmax(s, -1), DType::f64), x[2])};
     }},
    {"ExpMaxSum", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x), e = exp(s - top(s));
       return Ts{matmul(e / total(e), x[2])};
     }},
    {"ExpMaxSumStopped", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x), e = exp(s - stop_gradient(top(s)));
       return Ts{matmul(e * reciprocal(total(e)), x[2])};
     }},
    {"ExpWrittenTwice", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x);
       return Ts{matmul(exp(s - top(s)) / total(exp(s - top(s))), x[2])};
     }},
    {"NoMaximum", 1, qkv,
     [](const Ts& x) {
       const Tensor e = exp(scaled(x));
       return Ts{matmul(e / total(e), x[2])};
     }},
    {"DividedLater", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x), e = exp(s - top(s));
       return Ts{matmul(e, x[2]) / total(e)};
     }},
    {"DividedMuchLater", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x), e = exp(s - top(s));
       const Tensor y = transpose(matmul(e, x[2]), 1, 2);
       return Ts{y * reciprocal(transpose(total(e), 1, 2))};
     }},
    {"OffByOne", 1, qkv,
     [](const Ts& x) {
       const Tensor e = exp(scaled(x));
       return Ts{matmul(e / (1.0 + total(e)), x[2])};
     }},
    {"OffByOneShifted", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x), m = maximum(top(s), 0.0), e = exp(s - m);
       return Ts{matmul(e / (total(e) + exp(-m)), x[2])};
     }},
    {"LearnedSink", 1,
     with(DType::f64,
          [](const Sizes& s) {
            return Shape{s.h, 1, 1};
          }),
     [](const Ts& x) {
       const Tensor s = scaled(x), m = top(s), e = exp(s - m);
       return Ts{matmul(e / (total(e) + exp(x[3] - m)), x[2])};
     }},
    {"SinkColumn", 1, with(DType::f64, [](const Sizes& s) { return Shape{s.h}; }),
     [](const Ts& x) {
       const Tensor s = scaled(x);
       const Tensor sink = broadcast_to(reshape(x[3], {1, -1, 1, 1}), {s.dim(0), s.dim(1), s.dim(2), 1});
       const Tensor p = softmax(concat({s, sink}, -1), -1);
       return Ts{matmul(slice(p, -1, 0, s.dim(-1)), x[2])};
     }},
    {"SinkColumnFirst", 1, with(DType::f64, [](const Sizes& s) { return Shape{s.h}; }),
     [](const Ts& x) {
       const Tensor s = scaled(x);
       const Tensor sink = broadcast_to(reshape(x[3], {1, -1, 1, 1}), {s.dim(0), s.dim(1), s.dim(2), 1});
       const Tensor p = softmax(concat({sink, s}, -1), -1);
       return Ts{matmul(slice(p, -1, 1, s.dim(-1) + Dim(1)), x[2])};
     }},
    {"LogSoftmax", 1, qkv, [](const Ts& x) { return Ts{matmul(exp(log_softmax(scaled(x), -1)), x[2])}; }},
    {"LogSumExp", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x);
       return Ts{matmul(exp(s - logsumexp(s, {-1}, true)), x[2])};
     }},
    {"Softcap", 1, qkv,
     [](const Ts& x) {
       Tensor s = 30.0 * tanh(scores_of(x) / (8.0 * 30.0));
       s = where(iota({1, s.dim(-1)}, 1) <= iota({s.dim(-2), 1}, 0), s, -kInf);
       return Ts{matmul(softmax(s, -1), x[2])};
     }},
    {"MaskedExponentials", 1, kKeepKeys,
     [](const Ts& x) {
       const Tensor s = scaled(x), e = exp(s - top(s)) * cast(x[3], DType::f64);
       return Ts{matmul(e / total(e), x[2])};
     }},
    {"Renormalised", 1, kKeepKeys,
     [](const Ts& x) {
       const Tensor p = softmax(scaled(x), -1) * cast(x[3], DType::f64);
       return Ts{matmul(p / total(p), x[2])};
     }},
    {"RenormalisedEpsilon", 1, kKeepKeys,
     [](const Ts& x) {
       const Tensor p = softmax(scaled(x), -1) * cast(x[3], DType::f64);
       return Ts{matmul(p / (total(p) + 1e-3), x[2])};
     }},
    {"Activated", 1, qkv,
     [](const Ts& x) { return Ts{matmul(softmax(silu(scaled(x)) + relu(scaled(x)), -1), x[2])}; }},
};

const Form kProbabilities[] = {
    {"NanGuard", 1, kKeepKeys,
     [](const Ts& x) {
       const Tensor p = softmax(where(x[3], scaled(x), -kInf), -1);
       return Ts{matmul(where(is_nan(p), 0.0, p), x[2])};
     }},
    {"NotEqualItself", 1, kKeepKeys,
     [](const Ts& x) {
       const Tensor p = softmax(where(x[3], scaled(x), -kInf), -1);
       return Ts{matmul(where(equal(p, p), p, 0.0), x[2])};
     }},
    {"SelectedAfterEmptyRows", 1, qkv_and([](const Sizes& s) {
       return Specs{{DType::boolean, {s.b, 1, s.q, 1}}, {DType::boolean, {s.b, 1, 1, s.k}}};
     }),
     [](const Ts& x) {
       const Tensor rows = broadcast_to(x[3], {x[3].dim(0), 1, x[3].dim(2), x[4].dim(3)});
       const Tensor p = softmax(where(rows, scaled(x), -kInf), -1);
       return Ts{matmul(where(logical_and(rows, x[4]), p, 0.0), x[2])};
     }},
    {"GuardWithoutMaximum", 1, qkv_and([](const Sizes& s) {
       return Specs{{DType::boolean, {s.b, 1, s.q, 1}}, {DType::boolean, {s.b, 1, 1, s.k}}};
     }),
     [](const Ts& x) {
       const Tensor e = exp(where(logical_and(x[3], x[4]), scaled(x), -1e4)), p = e / total(e);
       return Ts{matmul(where(is_nan(p), 0.0, p), x[2])};
     }},
    {"ZeroSumWithoutMaximum", 1, qkv_and([](const Sizes& s) {
       return Specs{{DType::boolean, {s.b, 1, s.q, 1}}, {DType::boolean, {s.b, 1, 1, s.k}}};
     }),
     [](const Ts& x) {
       const Tensor e = exp(where(logical_and(x[3], x[4]), scaled(x), -1e4)), t = total(e);
       return Ts{matmul(e / where(equal(t, 0.0), 1.0, t), x[2])};
     }},
    {"RenormalisedLowScores", 1, kKeepKeys,
     [](const Ts& x) {
       const Tensor p = softmax(scaled(x) - 2000.0, -1) * cast(x[3], DType::f64), r = p / total(p);
       return Ts{matmul(where(is_nan(r), 0.0, r), x[2])};
     }},
    {"GuardBehindReshape", 1, kKeepKeys,
     [](const Ts& x) {
       const Tensor p = softmax(where(x[3], scaled(x), -kInf), -1);
       const Tensor again = reshape(reshape(p, {product(p.shape())}), p.shape());
       return Ts{matmul(where(logical_not(is_nan(p)), again, 0.0), x[2])};
     }},
    {"BiasLessItsMean", 1,
     with(DType::boolean,
          [](const Sizes& s) {
            return Shape{s.b, 1, 1, s.k};
          }),
     [](const Ts& x) {
       const Tensor bias = where(x[3], 0.0, -1e12);
       return Ts{matmul(softmax(scaled(x) + (bias - mean(bias, {2}, true)), -1), x[2])};
     }},
    {"MaskPutTogether", 1, qkv_and([](const Sizes& s) {
       return Specs{{DType::boolean, {s.b, 1, s.q, 1}}, {DType::boolean, {s.b, 1, s.q, s.k}}};
     }),
     [](const Ts& x) {
       const Tensor m = cast(concat({x[3], slice(x[4], -1, 1, x[4].dim(3))}, -1), DType::f64);
       return Ts{matmul(softmax(scaled(x) + (1.0 - m) * -1e12, -1), x[2])};
     }},
    {"MeanOfMasked", 0, kKeepKeys,
     [](const Ts& x) {
       const Tensor s = where(x[3], scaled(x), -1e12);
       return Ts{matmul(softmax(s - mean(s, {-1}, true), -1), x[2])};
     }},
    {"MaskTwice", 1, kKeepKeys,
     [](const Ts& x) {
       const Tensor p = softmax(where(x[3], scaled(x), -kInf), -1);
       return Ts{matmul(where(x[3], p, 0.0), x[2])};
     }},
    {"FiniteMaskTwice", 1, kKeepKeys,
     [](const Ts& x) {
       const Tensor p = softmax(where(!x[3], -1e9, scaled(x)), -1);
       return Ts{matmul(where(!x[3], 0.0, p), x[2])};
     }},
    {"EmptyRows", 1,
     with(DType::boolean,
          [](const Sizes& s) {
            return Shape{s.b, 1, s.q, s.k};
          }),
     [](const Ts& x) {
       const Tensor p = softmax(where(x[3], scaled(x), -1e9), -1);
       return Ts{matmul(where(any(x[3], {-1}, true), p, 0.0), x[2])};
     },
     true, false,
     [](std::vector<Array>& in) {
       for (int64_t j = 0; j < in[3].dim(3); ++j) in[3].set_flat(j, 0);
     }},
    {"Dropout", 1, kKey,
     [](const Ts& x) { return Ts{matmul(dropout(softmax(scaled(x), -1), x[3], 0.3, 5), x[2])}; }},
    {"DropoutHeadsInside", 1,
     [](const Sizes& s) {
       return Specs{{DType::f64, {s.b, s.q, s.h, s.d}},
                    {DType::f64, {s.b, s.k, s.h, s.d}},
                    {DType::f64, {s.b, s.k, s.h, s.e}},
                    {DType::i64, {2}}};
     },
     [](const Ts& x) {
       const Tensor p = softmax(einsum("bqhd,bkhd->bqhk", {x[0], x[1]}), -1);
       return Ts{einsum("bqhk,bkhd->bqhd", {dropout(p, x[3], 0.3, 5), x[2]})};
     }},
    {"RawRandom", 1, kKey,
     [](const Ts& x) {
       const Tensor p = softmax(scaled(x), -1);
       const Tensor keep = uniform(x[3], p.shape(), 0, 1, 3) < 0.8;
       return Ts{matmul(p * cast(keep, DType::f64) / 0.8, x[2])};
     }},
    {"SharedRandom", 1, kKey,
     [](const Ts& x) {
       const Tensor p = softmax(scaled(x), -1);
       const Tensor keep = bernoulli(x[3], {p.dim(0), 1, p.dim(2), p.dim(3)}, 0.8, 3);
       return Ts{matmul(where(keep, p, 0.0), x[2])};
     }},
    {"Gate", 1,
     with(DType::f64,
          [](const Sizes& s) {
            return Shape{s.b, 1, s.q, s.k};
          }),
     [](const Ts& x) { return Ts{matmul(softmax(scaled(x), -1) * x[3], x[2])}; }},
    {"HeadGate", 1,
     with(DType::f64,
          [](const Sizes& s) {
            return Shape{s.h, 1, 1};
          }),
     [](const Ts& x) { return Ts{matmul(softmax(scaled(x), -1) * sigmoid(x[3]), x[2])}; }},
    {"WeightsToo", 1, qkv,
     [](const Ts& x) {
       const Tensor p = softmax(scaled(x), -1);
       return Ts{matmul(p, x[2]), mean(p, {1})};
     }},
    {"ScoresToo", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x);
       return Ts{matmul(softmax(s, -1), x[2]), s};
     }},
    {"TwoProducts", 1,
     with(DType::f64,
          [](const Sizes& s) {
            return Shape{s.b, s.h, s.k, 2};
          }),
     [](const Ts& x) {
       const Tensor p = softmax(scaled(x), -1);
       return Ts{matmul(p, x[2]), matmul(p, x[3])};
     }},
    {"TwoLayers", 2,
     with(DType::f64,
          [](const Sizes& s) {
            return Shape{s.e, s.d};
          }),
     [](const Ts& x) {
       const Tensor y = matmul(matmul(softmax(scaled(x), -1), x[2]), x[3]);
       return Ts{matmul(softmax(matmul(y, transpose(x[1], -1, -2)), -1), x[2])};
     }},
};

const Form kTraps[] = {
    {"QueryAxis", 0, qkv, [](const Ts& x) { return Ts{matmul(softmax(scaled(x), -2), x[2])}; }},
    {"HeadAxis", 0, qkv, [](const Ts& x) { return Ts{matmul(softmax(scaled(x), 1), x[2])}; }},
    {"BatchAxis", 0, qkv, [](const Ts& x) { return Ts{matmul(softmax(scaled(x), 0), x[2])}; }},
    {"ContractsQueries", 0, qkv,
     [](const Ts& x) { return Ts{matmul(transpose(softmax(scaled(x), -1), -1, -2), x[2])}; }, true, true},
    {"CumulativeGate", 0,
     with(DType::f64,
          [](const Sizes& s) {
            return Shape{s.b, 1, s.q, s.k};
          }),
     [](const Ts& x) {
       const Tensor p = softmax(scaled(x), -1);
       return Ts{matmul(softmax(cumsum(p * x[3], -1), -1), x[2])};
     }},
    {"Linear", 0, qkv,
     [](const Ts& x) {
       const Tensor kv = matmul(transpose(softmax(x[1], -2), -1, -2), x[2]);
       return Ts{matmul(softmax(x[0], -1), kv)};
     }},
    {"LinearProjected", 0,
     [](const Sizes& s) {
       return Specs{{DType::f64, {s.b, s.k, 6}}, {DType::f64, {6, 6}}, {DType::f64, {6, 6}}};
     },
     [](const Ts& x) {
       const auto heads = [](const Tensor& t) {
         return transpose(reshape(t, {t.dim(0), t.dim(1), 2, 3}), 1, 2);
       };
       const Tensor k = heads(matmul(x[0], x[1])), v = heads(linear(x[0], x[2]));
       return Ts{matmul(softmax(v, -1), matmul(transpose(softmax(k, -2), -1, -2), v))};
     }},
    {"Sigmoid", 0, qkv, [](const Ts& x) { return Ts{matmul(sigmoid(scaled(x)), x[2])}; }},
    {"SigmoidByHand", 0, qkv, [](const Ts& x) { return Ts{matmul(1.0 / (1.0 + exp(-scaled(x))), x[2])}; }},
    {"ExpOverOnePlusExp", 0, qkv,
     [](const Ts& x) {
       const Tensor e = exp(scaled(x));
       return Ts{matmul(e / (1.0 + e), x[2])};
     }},
    {"Relu", 0, qkv,
     [](const Ts& x) {
       const Tensor r = relu(scaled(x));
       return Ts{matmul(r / (total(r) + 1e-6), x[2])};
     }},
    {"NormedScores", 0, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x), centred = s - mean(s, {-1}, true);
       const Tensor normed = centred / sqrt(mean(centred * centred, {-1}, true) + 1e-5);
       return Ts{matmul(softmax(normed, -1), x[2])};
     }},
    {"JointAxes", 0, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x);
       const Tensor p = softmax(reshape(s, {s.dim(0), s.dim(1), s.dim(2) * s.dim(3)}), -1);
       return Ts{matmul(reshape(p, s.shape()), x[2])};
     }},
    {"NoSoftmax", 0, qkv, [](const Ts& x) { return Ts{matmul(scaled(x), x[2])}; }},
    {"TalkingHeadsBefore", 0,
     with(DType::f64,
          [](const Sizes& s) {
            return Shape{s.h, s.h};
          }),
     [](const Ts& x) {
       return Ts{matmul(softmax(einsum("gh,bhij->bgij", {x[3], scaled(x)}), -1), x[2])};
     }},
    {"TalkingHeadsAfter", 0,
     with(DType::f64,
          [](const Sizes& s) {
            return Shape{s.h, s.h};
          }),
     [](const Ts& x) {
       return Ts{matmul(einsum("gh,bhij->bgij", {x[3], softmax(scaled(x), -1)}), x[2])};
     }},
    {"UnnormalisedExponential", 0, qkv, [](const Ts& x) { return Ts{matmul(exp(scaled(x)), x[2])}; }},
    {"SumOverQueries", 0, qkv,
     [](const Ts& x) {
       const Tensor e = exp(scaled(x));
       return Ts{matmul(e / sum(e, {-2}, true), x[2])};
     }},
    {"Sorted", 0, qkv, [](const Ts& x) { return Ts{matmul(softmax(cumsum(scaled(x), -1), -1), x[2])}; }},
    {"Entropy", 0, qkv,
     [](const Ts& x) {
       const Tensor p = softmax(scaled(x), -1);
       return Ts{sum(p * log(p), {-1})};
     }},
    {"Classifier", 0,
     [](const Sizes& s) {
       return Specs{{DType::f64, {s.b, 6}}, {DType::f64, {6, 5}}, {DType::f64, {5, 3}}};
     },
     [](const Ts& x) { return Ts{sum(log(softmax(matmul(x[0], x[1]), -1)), {-1})}; }},
};

// The codes of what is nearly attention; a softmax without products on both sides is no candidate.
TEST(Traps, SayWhy) {
  const std::map<std::string, std::string> expected = {
      {"QueryAxis", "AXIS"},
      {"HeadAxis", "AXIS"},
      {"BatchAxis", "AXIS"},
      {"ContractsQueries", "AXIS"},
      {"CumulativeGate", "NON_POINTWISE(cumsum)"},
      {"ExpOverOnePlusExp", "NON_POINTWISE(add)"},
      {"NormedScores", "REDUCES_J"},
      {"JointAxes", "AXIS"},
      {"TalkingHeadsBefore", "HEAD_MIX"},
      {"TalkingHeadsAfter", "HEAD_MIX"},
      {"UnnormalisedExponential", "DENOMINATOR"},
      {"SumOverQueries", "AXIS"},
      {"Sorted", "NON_POINTWISE(cumsum)"},
      {"Sigmoid", ""},
      {"Relu", ""},
      {"NoSoftmax", ""},
      {"Linear", ""},
  };
  size_t seen = 0;
  for (const Form& form : kTraps) {
    const auto entry = expected.find(form.name);
    if (entry == expected.end()) continue;
    ++seen;
    const Sizes sizes{2, 3, form.same_length ? 7 : 5, 7, 3, 4};
    const Program program(with_gradients(narrowed(trace(form.body, form.arguments(sizes)))), "main");
    expect_explained(program.records());
    std::string codes;
    for (const FusionRecord& r : program.records())
      if (r.region == "attention") codes += (codes.empty() ? "" : " ") + code_of(r);
    EXPECT_EQ(codes, entry->second) << form.name;
  }
  EXPECT_EQ(seen, expected.size());
}

TEST_P(Forms, Verdict) { check(GetParam()); }
INSTANTIATE_TEST_SUITE_P(Softmax, Forms, testing::ValuesIn(kSoftmax), name_of);
INSTANTIATE_TEST_SUITE_P(Probability, Forms, testing::ValuesIn(kProbabilities), name_of);
INSTANTIATE_TEST_SUITE_P(Trap, Forms, testing::ValuesIn(kTraps), name_of);

// The gradients of the untouched operations are NaN here, the results are not.
TEST(Probabilities, WhatSelectsZeroDoesSoBesideInfiniteFactors) {
  const Sizes sizes;
  const auto before = trace(
      [](const Ts& x) {
        const Tensor p = softmax(scaled(x), -1);
        return Ts{matmul(where(x[3], p / cast(x[3], DType::f64), 0.0), x[2])};
      },
      kKeepKeys(sizes));
  const auto after = recognised(before);
  EXPECT_EQ(count_of(after->function("main"), "attention"), 1);
  const auto in = random_inputs(*before, {}, 3);
  expect_close(run_reference(before, in), run_reference(after, in), 1e-9, "results");
}

}  // namespace
}  // namespace fovea::corpus
