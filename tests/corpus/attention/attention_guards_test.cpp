// Guards, sinks, denominators and joins as real models write them: questions whether a row has any key,
// nan_to_num, sums taken by products, probabilities multiplied by sigmoid(log-sum-exp - sink).
#include "tests/corpus/attention/forms.h"

namespace fovea::corpus {
namespace {

Tensor scaled(const Ts& x) { return scores_of(x) / 2.0; }
Tensor rows(const Tensor& s) { return iota({s.dim(-2), 1}, 0); }
Tensor columns(const Tensor& s) { return iota({1, s.dim(-1)}, 1); }
auto with(DType type, std::function<Shape(const Sizes&)> shape) {
  return qkv_and([type, shape](const Sizes& s) { return Specs{{type, shape(s)}}; });
}
Shape mask_shape(const Sizes& s) { return {s.b, 1, s.q, s.k}; }
Tensor attended(const Tensor& scores, const Tensor& empty, const Tensor& v) {
  return matmul(where(empty, 0.0, softmax(scores, -1)), v);
}

const Form kForms[] = {
    {"EmptyWhereTheMaximumIsMinusInfinity", 1, with(DType::boolean, mask_shape),
     [](const Ts& x) {
       const Tensor s = where(x[3], scaled(x), -kInf);
       return Ts{attended(s, equal(max(s, {-1}, true), -kInf), x[2])};
     }},
    {"EmptyWhereNoMaximumIsAbove", 1, with(DType::boolean, mask_shape),
     [](const Ts& x) {
       const Tensor s = where(x[3], scaled(x), -kInf);
       return Ts{matmul(where(greater(max(s, {-1}, true), -kInf), softmax(s, -1), 0.0), x[2])};
     }},
    {"EmptyWhereNoKeyIsKept", 1, with(DType::boolean, mask_shape),
     [](const Ts& x) {
       return Ts{attended(where(x[3], scaled(x), -kInf), logical_not(any(x[3], {-1}, true)), x[2])};
     }},
    {"EmptyWhereAllKeysAreMasked", 1, with(DType::boolean, mask_shape),
     [](const Ts& x) {
       const Tensor masked = logical_not(x[3]);
       return Ts{attended(where(masked, -kInf, scaled(x)), all(masked, {-1}, true), x[2])};
     }},
    {"EmptyWhereTheKeysCountNone", 1, with(DType::boolean, mask_shape),
     [](const Ts& x) {
       const Tensor kept = sum(cast(x[3], DType::i64), {-1}, true);
       return Ts{attended(where(x[3], scaled(x), -kInf), equal(kept, 0), x[2])};
     }},
    {"EmptyWhereAllScoresAre", 1, with(DType::f64, mask_shape),
     [](const Ts& x) {
       const Tensor s = scaled(x) + x[3];
       return Ts{attended(s, all(equal(s, -kInf), {-1}, true), x[2])};
     }},
    {"EmptyUnderTwoMasks", 1, with(DType::boolean, mask_shape),
     [](const Ts& x) {
       const Tensor plain = scaled(x), keep = logical_and(x[3], less_equal(columns(plain), rows(plain) + 2));
       return Ts{attended(where(keep, plain, -kInf), logical_not(any(keep, {-1}, true)), x[2])};
     }},
    {"NotANumberAndInfinityGuarded", 1, with(DType::boolean, mask_shape),
     [](const Ts& x) {
       const Tensor p = softmax(where(x[3], scaled(x), -kInf), -1);
       Tensor y = where(is_nan(p), 0.0, p);
       y = where(logical_and(is_inf(p), less(p, 0.0)), -1e30, y);
       y = where(logical_and(is_inf(p), greater(p, 0.0)), 1e30, y);
       return Ts{matmul(y, x[2])};
     }},
    {"SummedByAProductWithOnes", 1, qkv,
     [](const Ts& x) {
       const Tensor e = exp(scaled(x));
       return Ts{matmul(e, x[2]) / matmul(e, ones({x[2].dim(2), 1}, DType::f64))};
     }},
    {"SummedByAColumnOfOnes", 1, qkv,
     [](const Ts& x) {
       const Tensor column = ones({x[2].dim(0), x[2].dim(1), x[2].dim(2), 1}, DType::f64);
       const Tensor o = matmul(exp(scaled(x)), concat({x[2], column}, -1));
       return Ts{slice(o, -1, 0, 4) / slice(o, -1, 4, 5)};
     }},
    {"DividedByAPower", 1, qkv,
     [](const Ts& x) {
       const Tensor e = exp(scaled(x));
       return Ts{matmul(e, x[2]) * pow(total(e), -1.0)};
     }},
    {"SinkBySigmoid", 1,
     with(DType::f64,
          [](const Sizes& s) {
            return Shape{s.h, 1, 1};
          }),
     [](const Ts& x) {
       const Tensor s = scaled(x), keep = sigmoid(logsumexp(s, {-1}, true) - x[3]);
       return Ts{matmul(softmax(s, -1), x[2]) * keep};
     }},
    {"SinkByPadding", 1, qkv,
     [](const Ts& x) {
       const Tensor s = pad(scaled(x), {0, 0, 0, 1}, {0, 0, 0, 0});
       const Tensor p = softmax(s, -1);
       return Ts{matmul(slice(p, -1, 1, p.dim(-1)), x[2])};
     }},
    {"KeysInTwoParts", 1,
     with(DType::f64,
          [](const Sizes& s) {
            return Shape{s.b, s.h, 2, s.d};
          }),
     [](const Ts& x) {
       const Tensor s = concat({scaled(x), matmul(x[0], transpose(x[3], -1, -2)) / 2.0}, -1);
       const Tensor more = x[2].dim(2) == Dim(7) ? slice(x[2], 2, 0, 2)
                                                 : broadcast_to(max(x[2], {2}, true),
                                                                {x[2].dim(0), x[2].dim(1), 2, x[2].dim(3)});
       return Ts{matmul(softmax(s, -1), concat({x[2], more}, 2))};
     }},
    {"MixedWithANumber", 1, qkv,
     [](const Ts& x) { return Ts{matmul(0.9 * softmax(scaled(x), -1) + 0.1, x[2])}; }},
    {"PairsOfHeadsSubtracted", 2,
     [](const Sizes& s) {
       return Specs{{DType::f64, {s.b, 4, s.q, s.d}},
                    {DType::f64, {s.b, 4, s.k, s.d}},
                    {DType::f64, {s.b, 2, s.k, s.e}},
                    {DType::f64, {1}}};
     },
     [](const Ts& x) {
       const Tensor p = softmax(scaled(x), -1);
       const Tensor pairs = reshape(p, {p.dim(0), 2, 2, p.dim(2), p.dim(3)});
       return Ts{matmul(select_index(pairs, 2, 0) - x[3] * select_index(pairs, 2, 1), x[2])};
     }},
    {"BiasAddedToASliceOfTheScores", 1,
     with(DType::f64,
          [](const Sizes& s) {
            return Shape{s.h, s.q - Dim(1), s.k - Dim(1)};
          }),
     [](const Ts& x) {
       const Tensor s = scaled(x), part = slice(slice(s, 2, 1, s.dim(2)), 3, 1, s.dim(3)) + x[3];
       const Tensor inside = logical_and(less_equal(1, rows(s)), less_equal(1, columns(s)));
       return Ts{matmul(softmax(where(inside, pad(part, {0, 0, 1, 1}, {0, 0, 0, 0}), s), -1), x[2])};
     },
     false},
    // Whether another mask keeps any key says nothing of the scores: the condition stays outside.
    {"BiasesOfAGridBesideAClassToken", 1,
     [](const Sizes& s) {  // queries on a grid of 2 x 3, keys on one of 3 x 2, each behind one more token
       return Specs{{DType::f64, {s.b, s.h, 7, s.d}},
                    {DType::f64, {s.b, s.h, 7, s.d}},
                    {DType::f64, {s.b, s.h, 7, s.e}},
                    {DType::f64, {s.b, s.h, 2, 3, 3, 1}},
                    {DType::f64, {s.b, s.h, 2, 3, 1, 2}}};
     },
     [](const Ts& x) {
       const Tensor s = scaled(x), part = slice(slice(s, 2, 1, 7), 3, 1, 7);
       const Tensor moved =
           reshape(reshape(part, {s.dim(0), s.dim(1), 2, 3, 3, 2}) + x[3] - x[4], part.shape());
       const Tensor inside = logical_and(less_equal(1, iota({7, 1}, 0)), less_equal(1, iota({1, 7}, 1)));
       return Ts{matmul(softmax(where(inside, pad(moved, {0, 0, 1, 1}, {0, 0, 0, 0}), s), -1), x[2])};
     },
     false},
    {"EmptyInAnotherMask", 1, qkv_and([](const Sizes& s) {
       return Specs{{DType::boolean, mask_shape(s)}, {DType::boolean, mask_shape(s)}};
     }),
     [](const Ts& x) {
       return Ts{attended(where(x[3], scaled(x), -kInf), logical_not(any(x[4], {-1}, true)), x[2])};
     },
     true, false,
     [](std::vector<Array>& in) {
       for (int64_t i = 0; i < in[3].size(); ++i) in[3].set_flat(i, 1);
     }},
};

TEST_P(Forms, IsFused) { check(GetParam()); }
INSTANTIATE_TEST_SUITE_P(Guards, Forms, testing::ValuesIn(kForms), name_of);

// The node's guard takes the place of the question: no score is computed outside.
TEST(Guards, ScoresAreNotComputedToAskForEmptyRows) {
  for (size_t i = 0; i < 7; ++i) {
    const auto after = recognised(trace(kForms[i].body, kForms[i].arguments({})));
    const Graph& main = after->function("main");
    EXPECT_EQ(count_of(main, "matmul"), 0) << kForms[i].name;
    EXPECT_EQ(count_of(main, "where"), 0) << kForms[i].name;
  }
}

}  // namespace
}  // namespace fovea::corpus
