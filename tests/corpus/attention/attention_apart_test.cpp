// Scores and sums that stand within larger operations, which are taken apart: layers with a bias, means,
// convolutions, tensors repeated before they are multiplied.
#include "tests/corpus/attention/forms.h"

namespace fovea::corpus {
namespace {

Tensor scaled(const Ts& x) { return scores_of(x) / 2.0; }
Tensor repeated(const Tensor& x, int64_t axis, const Tensor& like) {
  Shape shape = x.shape();
  shape.insert(shape.begin() + axis, like.dim(2));
  return broadcast_to(unsqueeze(x, axis), shape);
}
Tensor length(const Tensor& x) { return maximum(sqrt(sum(x * x, {-1}, true)), 1e-8); }
auto with(DType type, std::function<Shape(const Sizes&)> shape) {
  return qkv_and([type, shape](const Sizes& s) { return Specs{{type, shape(s)}}; });
}

const Form kForms[] = {
    {"LinearWithBias", 1,
     [](const Sizes& s) {
       return Specs{{DType::f64, {s.b, s.q, s.d}},
                    {DType::f64, {s.k, s.d}},
                    {DType::f64, {s.k, s.e}},
                    {DType::f64, {s.k}}};
     },
     [](const Ts& x) { return Ts{matmul(softmax(linear(x[0], x[1], x[3]) * 0.5, -1), x[2])}; }},
    {"ValuesByLinearWithBias", 1,
     [](const Sizes& s) {
       return Specs{
           {DType::f64, {s.q, s.d}}, {DType::f64, {s.k, s.d}}, {DType::f64, {s.e, s.k}}, {DType::f64, {s.e}}};
     },
     [](const Ts& x) { return Ts{linear(softmax(matmul(x[0], transpose(x[1], 0, 1)), -1), x[2], x[3])}; }},
    {"ScoresSummedOverHeads", 1, qkv,
     [](const Ts& x) { return Ts{matmul(softmax(sum(scores_of(x), {1}, true), -1), x[2])}; }},
    {"ScoresAveragedOverHeads", 1, qkv,
     [](const Ts& x) { return Ts{matmul(softmax(mean(scores_of(x), {1}, true) * 0.5, -1), x[2])}; }},
    {"CosineOfRepeated", 1, qkv,
     [](const Ts& x) {
       const Tensor q = repeated(x[0], 3, x[1]), k = repeated(x[1], 2, x[0]);
       return Ts{matmul(softmax(sum(q / length(q) * (k / length(k)), {-1}) * 3.0, -1), x[2])};
     }},
    {"RepeatedProducts", 1, qkv,
     [](const Ts& x) {
       return Ts{matmul(softmax(sum(repeated(x[0], 3, x[1]) * repeated(x[1], 2, x[0]), {-1}), -1), x[2])};
     }},
    {"BatchNormOfScores", 1, with(DType::f64, [](const Sizes& s) { return Shape{s.h}; }),
     [](const Ts& x) {
       return Ts{
           matmul(softmax(batch_norm_inference(scaled(x), x[3], x[3] * x[3] + 0.5, x[3], x[3]), -1), x[2])};
     }},
    {"ScoresByConvolution", 1,
     [](const Sizes& s) {
       return Specs{{DType::f64, {5, 3, 1, 1}}, {DType::f64, {s.b, 3, 7, 1}}, {DType::f64, {s.b, 7, s.e}}};
     },
     [](const Ts& x) {
       const Tensor s = conv2d(x[1], x[0]);
       return Ts{matmul(softmax(reshape(s, {s.dim(0), 5, 7}), -1), x[2])};
     },
     /*symbols=*/false},
    {"TriangleOfExponentials", 1, qkv,
     [](const Ts& x) {
       const Tensor e = tril(exp(scaled(x)));
       return Ts{matmul(e, x[2]) / sum(e, {-1}, true)};
     },
     /*symbols=*/true, /*same_length=*/true},
    {"DividedByTheMean", 1, qkv,
     [](const Ts& x) {
       const Tensor e = exp(scaled(x));
       return Ts{matmul(e / mean(e, {-1}, true), x[2])};
     }},
    {"MeanOfBoth", 1, qkv,
     [](const Ts& x) {
       const Tensor e = exp(scaled(x));
       return Ts{mean(unsqueeze(e, -1) * unsqueeze(x[2], 2), {3}) / mean(e, {-1}, true)};
     }},
    {"SummedByEinsum", 1, qkv,
     [](const Ts& x) {
       const Tensor e = exp(scaled(x));
       return Ts{matmul(e, x[2]) / unsqueeze(einsum("bhij->bhi", {e}), -1)};
     }},
    {"OneLearnedQuery", 1,
     [](const Sizes& s) {
       return Specs{{DType::f64, {s.b, s.k, s.d}}, {DType::f64, {s.d, 1}}};
     },
     [](const Ts& x) { return Ts{sum(softmax(matmul(tanh(x[0]), x[1]), 1) * x[0], {1})}; }},
    {"LearnedWeightOfOneOfTwo", 2, qkv_and([](const Sizes& s) {
       return Specs{
           {DType::f64, {s.b, s.h, s.q, s.d}}, {DType::f64, {s.b, s.h, s.k, s.d}}, {DType::f64, {s.h, 1, 1}}};
     }),
     [](const Ts& x) {
       const Tensor p = softmax(scaled(x), -1), r = softmax(matmul(x[3], transpose(x[4], -1, -2)), -1);
       return Ts{matmul(p - exp(x[5]) * r, x[2])};
     }},
    {"OnlineSoftmaxOfTwoBlocks", 1, qkv,
     [](const Ts& x) {
       const auto block = [&](size_t i, int64_t from, const Dim& to) { return slice(x[i], 2, from, to); };
       const auto scores = [&](int64_t from, const Dim& to) {
         return matmul(x[0], transpose(block(1, from, to), -1, -2)) * 0.5;
       };
       const Tensor s1 = scores(0, 3), s2 = scores(3, 7);
       const Tensor m1 = max(s1, {-1}, true), p1 = exp(s1 - m1);
       const Tensor m = maximum(m1, max(s2, {-1}, true)), again = exp(m1 - m), p2 = exp(s2 - m);
       const Tensor o = matmul(p1, block(2, 0, 3)) * again + matmul(p2, block(2, 3, 7));
       return Ts{o / (sum(p1, {-1}, true) * again + sum(p2, {-1}, true))};
     },
     /*symbols=*/false},
    {"WeightsInTwoParts", 1, qkv,
     [](const Ts& x) {
       const Tensor p = softmax(scaled(x), -1);
       return Ts{matmul(slice(p, 3, 0, 3), slice(x[2], 2, 0, 3)) +
                 matmul(slice(p, 3, 3, 7), slice(x[2], 2, 3, 7))};
     },
     /*symbols=*/false},
    {"OneMoreByItsLogarithm", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x);
       return Ts{matmul(exp(s - softplus(logsumexp(s, {-1}, true))), x[2])};
     }},
    {"GuardedAsTheExporterWritesIt", 1,
     with(DType::boolean,
          [](const Sizes& s) {
            return Shape{s.b, 1, s.q, s.k};
          }),
     [](const Ts& x) {
       const Tensor p = softmax(where(x[3], scaled(x), -kInf), -1);
       return Ts{matmul(where(logical_not(logical_or(is_inf(p), is_nan(p))), p, 0.0), x[2])};
     }},
    {"BlocksChosenByTheirMeans", 1,
     [](const Sizes& s) {
       return Specs{{DType::f64, {s.b, s.q, s.d}}, {DType::f64, {s.b, 8, s.d}}, {DType::f64, {s.b, 8, s.e}}};
     },
     [](const Ts& x) {
       const Tensor blocks = mean(reshape(x[1], {x[1].dim(0), 4, 2, x[1].dim(2)}), {2});
       const Tensor g = matmul(x[0], transpose(blocks, 1, 2));
       const Tensor chosen = greater_equal(g, max(g, {-1}, true) - 0.3);
       Shape shape = g.shape();
       shape.push_back(2);
       const Tensor keep = reshape(broadcast_to(unsqueeze(chosen, -1), shape), {g.dim(0), g.dim(1), 8});
       const Tensor s = matmul(x[0], transpose(x[1], 1, 2));
       return Ts{matmul(softmax(where(keep, s, -kInf), -1), x[2])};
     }},
    // A mask made of products stays apart from the scores: 1e9 in one sum with them would leave nothing.
    {"MaskOfProducts", 1,
     with(DType::i64,
          [](const Sizes& s) {
            return Shape{s.b, s.k};
          }),
     [](const Ts& x) {
       const Tensor o = cast(one_hot(x[3], 4), DType::f64);
       const Tensor same = unsqueeze(matmul(o, transpose(o, 1, 2)), 1);
       return Ts{matmul(softmax(scaled(x) + (1.0 - same) * -1e9, -1), x[2])};
     },
     /*symbols=*/true, /*same_length=*/true},
};

class Apart : public testing::TestWithParam<Form> {};
TEST_P(Apart, Verdict) { check(GetParam()); }
INSTANTIATE_TEST_SUITE_P(Forms, Apart, testing::ValuesIn(kForms), name_of);

// ---- what must not, and why

struct Refused {
  const char* name;
  const char* code;
  const char* sentence;
  std::function<std::vector<Spec>(const Sizes&)> arguments;
  Function body;
};
const Refused kRefused[] = {
    {"MeanOverQueries", "AXIS", "several queries", qkv,
     [](const Ts& x) { return Ts{matmul(mean(softmax(scaled(x), -1), {2}, true), x[2])}; }},
    {"QueriesSummedByEinsum", "AXIS", "another axis than the keys", qkv,
     [](const Ts& x) {
       return Ts{einsum("bhij,bhje->bhe", {softmax(scaled(x), -1), x[2]})};
     }},
    {"HeadsSummedByEinsum", "HEAD_MIX", "another axis beside the keys", qkv,
     [](const Ts& x) {
       return Ts{einsum("bhij,bhje->bie", {softmax(scaled(x), -1), x[2]})};
     }},
    {"ShiftedWeights", "NON_POINTWISE(pad)", "stands pad", qkv,
     [](const Ts& x) {
       const Tensor p = softmax(scaled(x), -1);
       return Ts{matmul(pad(slice(p, 3, 1, p.dim(3)), {0, 0, 0, 0}, {0, 0, 0, 1}), x[2])};
     }},
};

class NotApart : public testing::TestWithParam<Refused> {};
TEST_P(NotApart, SaysWhy) {
  const auto module = trace(GetParam().body, GetParam().arguments(Sizes{}));
  std::vector<FusionRecord> records;
  const auto after = recognised(module, &records);
  EXPECT_EQ(count_of(after->function("main"), "attention"), 0);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(code_of(records[0]), GetParam().code);
  EXPECT_NE(records[0].sentence.find(GetParam().sentence), std::string::npos) << records[0].sentence;
  EXPECT_FALSE(records[0].nearest.empty());
}
INSTANTIATE_TEST_SUITE_P(Forms, NotApart, testing::ValuesIn(kRefused),
                         [](const auto& form) { return std::string(form.param.name); });

}  // namespace
}  // namespace fovea::corpus
