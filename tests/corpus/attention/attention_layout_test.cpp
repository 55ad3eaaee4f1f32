// Scales and layouts: where the scale stands and how heads, tokens and channels lie.
#include "tests/corpus/attention/forms.h"

namespace fovea::corpus {
namespace {

Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v) {
  return matmul(softmax(matmul(q, transpose(k, -1, -2)) / 2.0, -1), v);
}
Tensor heads(const Tensor& x, int64_t h) { return transpose(reshape(x, {x.dim(0), x.dim(1), h, -1}), 1, 2); }
Tensor joined(const Tensor& x) {
  return reshape(transpose(x, 1, 2), {x.dim(0), x.dim(2), x.dim(1) * x.dim(3)});
}

const Form kScales[] = {
    {"Divided", 1, qkv, [](const Ts& x) { return Ts{matmul(softmax(scores_of(x) / 1.7, -1), x[2])}; }},
    {"Multiplied", 1, qkv, [](const Ts& x) { return Ts{matmul(softmax(0.3 * scores_of(x), -1), x[2])}; }},
    {"QueriesMultiplied", 1, qkv,
     [](const Ts& x) { return Ts{matmul(softmax(matmul(x[0] * 0.3, transpose(x[1], -1, -2)), -1), x[2])}; }},
    {"QueriesDivided", 1, qkv,
     [](const Ts& x) { return Ts{matmul(softmax(matmul(x[0] / 3.0, transpose(x[1], -1, -2)), -1), x[2])}; }},
    {"KeysMultiplied", 1, qkv,
     [](const Ts& x) { return Ts{matmul(softmax(matmul(x[0], transpose(x[1] * 0.3, -1, -2)), -1), x[2])}; }},
    {"Both", 1, qkv,
     [](const Ts& x) {
       return Ts{matmul(softmax(matmul(x[0] * 0.5, transpose(x[1], -1, -2) * 0.5), -1), x[2])};
     }},
    {"TwoScales", 1, qkv,
     [](const Ts& x) {
       return Ts{matmul(softmax(matmul(x[0], transpose(x[1] * 0.5, -1, -2)) / 2.0, -1), x[2])};
     }},
    {"NoScale", 1, qkv, [](const Ts& x) { return Ts{matmul(softmax(scores_of(x), -1), x[2])}; }},
    {"AddedToZero", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scores_of(x);
       return Ts{matmul(softmax(0.0 * zeros(s.shape(), s.dtype()) + 0.125 * s, -1), x[2])};
     }},
    {"LearnedPerHead", 1, qkv_and([](const Sizes& s) {
       return std::vector<Spec>{{DType::f64, {s.h, 1, 1}}};
     }),
     [](const Ts& x) { return Ts{matmul(softmax(scores_of(x) * exp(x[3]), -1), x[2])}; }},
    {"LearnedScalar", 1, qkv_and([](const Sizes&) {
       return std::vector<Spec>{{DType::f64, {}}};
     }),
     [](const Ts& x) { return Ts{matmul(softmax(scores_of(x) / x[3], -1), x[2])}; }},
    {"FromASize", 1, qkv,
     [](const Ts& x) {
       const Tensor n = sqrt(extent({x[0].dim(-1) * x[1].dim(-2)}, DType::f64));
       return Ts{matmul(softmax(scores_of(x) / n, -1), x[2])};
     }},
};

const Form kLayouts[] = {
    {"HeadsViewed", 1,
     [](const Sizes& s) {
       return std::vector<Spec>{
           {DType::f64, {s.b, s.q, 12}}, {DType::f64, {s.b, s.k, 12}}, {DType::f64, {s.b, s.k, 6}}};
     },
     [](const Ts& x) { return Ts{joined(attend(heads(x[0], 3), heads(x[1], 3), heads(x[2], 3)))}; }},
    {"HeadsFolded", 1,
     [](const Sizes& s) {
       return std::vector<Spec>{{DType::f64, {s.b * s.h, s.q, s.d}},
                                {DType::f64, {s.b * s.h, s.k, s.d}},
                                {DType::f64, {s.b * s.h, s.k, s.e}},
                                {DType::f64, {s.b, 1, 1, s.k}}};
     },
     [](const Ts& x) {
       Tensor s = matmul(x[0], transpose(x[1], 1, 2));
       const Dim b = x[3].dim(0);
       s = reshape(s, {b, 3, s.dim(1), s.dim(2)}) / 2.0 + x[3];
       s = reshape(s, {b * Dim(3), s.dim(2), s.dim(3)});
       return Ts{matmul(softmax(s, -1), x[2])};
     }},
    {"OneHead", 1,
     [](const Sizes& s) {
       return std::vector<Spec>{
           {DType::f64, {s.b, s.q, s.d}}, {DType::f64, {s.b, s.k, s.d}}, {DType::f64, {s.b, s.k, s.e}}};
     },
     [](const Ts& x) { return Ts{attend(x[0], x[1], x[2])}; }},
    {"OneSequence", 1,
     [](const Sizes& s) {
       return std::vector<Spec>{{DType::f64, {s.q, s.d}}, {DType::f64, {s.k, s.d}}, {DType::f64, {s.k, s.e}}};
     },
     [](const Ts& x) { return Ts{attend(x[0], x[1], x[2])}; }},
    {"KeysMadeTransposed", 1,
     [](const Sizes& s) {
       return std::vector<Spec>{{DType::f64, {s.b, s.h, s.q, s.d}},
                                {DType::f64, {s.b, s.h, s.d, s.k}},
                                {DType::f64, {s.b, s.h, s.k, s.e}}};
     },
     [](const Ts& x) { return Ts{matmul(softmax(matmul(x[0], x[1]), -1), x[2])}; }},
    {"EinsumHeadsInside", 1,
     [](const Sizes& s) {
       return std::vector<Spec>{{DType::f64, {s.b, s.q, s.h, s.d}},
                                {DType::f64, {s.b, s.k, s.h, s.d}},
                                {DType::f64, {s.b, s.k, s.h, s.e}}};
     },
     [](const Ts& x) {
       const Tensor p = softmax(einsum("bqhd,bkhd->bhqk", {x[0] / 2.0, x[1]}), -1);
       return Ts{einsum("bhqk,bkhd->bqhd", {p, x[2]})};
     }},
    {"EinsumEllipsisKeysFirst", 1, qkv,
     [](const Ts& x) {
       const Tensor p = softmax(einsum("...kd,...qd->...kq", {x[1], x[0]}), -2);
       return Ts{einsum("...kq,...ke->...eq", {p, x[2]})};
     }},
    {"ResultTransposed", 1, qkv,
     [](const Ts& x) {
       const Tensor p = softmax(scores_of(x) * 0.25, -1);
       return Ts{matmul(transpose(x[2], -1, -2), transpose(p, -1, -2))};
     }},
    {"SumsOfProducts", 1, qkv,
     [](const Ts& x) {
       const Tensor s = sum(unsqueeze(x[0], 3) * unsqueeze(x[1], 2), {-1});
       return Ts{sum(unsqueeze(softmax(s, -1), -1) * unsqueeze(x[2], 2), {3})};
     }},
    {"PackedSlices", 1,
     [](const Sizes& s) {
       return std::vector<Spec>{{DType::f64, {s.b, s.k, 36}}};
     },
     [](const Ts& x) {
       const auto parts = chunk(x[0], 3, -1);
       return Ts{joined(attend(heads(parts[0], 3), heads(parts[1], 3), heads(parts[2], 3)))};
     }},
    {"PackedUnbound", 1,
     [](const Sizes& s) {
       return std::vector<Spec>{{DType::f64, {s.b, s.k, 36}}};
     },
     [](const Ts& x) {
       const Tensor y = permute(reshape(x[0], {x[0].dim(0), x[0].dim(1), 3, 3, 4}), {2, 0, 3, 1, 4});
       const auto parts = unstack(y, 0);
       return Ts{joined(attend(parts[0], parts[1], parts[2]))};
     }},
    {"MultiQueryRows", 1,
     [](const Sizes& s) {
       return std::vector<Spec>{
           {DType::f64, {s.b, s.h, s.q, s.d}}, {DType::f64, {s.b, s.k, s.d}}, {DType::f64, {s.b, s.k, s.e}}};
     },
     [](const Ts& x) {
       const Dim b = x[0].dim(0), h = x[0].dim(1), l = x[0].dim(2);
       const Tensor y = attend(reshape(x[0], {b, h * l, x[0].dim(3)}), x[1], x[2]);
       return Ts{reshape(y, {b, h, l, y.dim(2)})};
     }},
    {"MultiQueryRowsCausal", 1,
     [](const Sizes& s) {
       return std::vector<Spec>{
           {DType::f64, {s.b, s.h, s.q, s.d}}, {DType::f64, {s.b, s.k, s.d}}, {DType::f64, {s.b, s.k, s.e}}};
     },
     [](const Ts& x) {
       const Dim b = x[0].dim(0), h = x[0].dim(1), l = x[0].dim(2), k = x[1].dim(1);
       Tensor s = matmul(reshape(x[0], {b, h * l, x[0].dim(3)}), transpose(x[1], 1, 2));
       s = reshape(s, {b, h, l, k});
       s = where(iota({l, k}, 0) >= iota({l, k}, 1), s, -kInf);
       const Tensor p = reshape(softmax(s, -1), {b, h * l, k});
       return Ts{reshape(matmul(p, x[2]), {b, h, l, x[2].dim(2)})};
     }},
    {"GroupedRepeated", 1,
     [](const Sizes& s) {
       return std::vector<Spec>{{DType::f64, {s.b, 6, s.q, s.d}},
                                {DType::f64, {s.b, 2, s.k, s.d}},
                                {DType::f64, {s.b, 2, s.k, s.e}}};
     },
     [](const Ts& x) {
       const auto repeated = [](const Tensor& t) {
         const Shape s = t.shape();
         return reshape(broadcast_to(unsqueeze(t, 2), {s[0], s[1], 3, s[2], s[3]}), {s[0], 6, s[2], s[3]});
       };
       return Ts{attend(x[0], repeated(x[1]), repeated(x[2]))};
     }},
    {"GroupedFiveAxes", 1,
     [](const Sizes& s) {
       return std::vector<Spec>{{DType::f64, {s.b, 2, 3, s.q, s.d}},
                                {DType::f64, {s.b, 2, 1, s.k, s.d}},
                                {DType::f64, {s.b, 2, 1, s.k, s.e}}};
     },
     [](const Ts& x) { return Ts{attend(x[0], x[1], x[2])}; }},
    {"Pixels", 1,
     [](const Sizes& s) {
       return std::vector<Spec>{
           {DType::f64, {s.b, 4, 3, 5}}, {DType::f64, {s.b, 4, 3, 5}}, {DType::f64, {s.b, 4, 3, 5}}};
     },
     [](const Ts& x) {
       const auto rows = [](const Tensor& t) {
         return transpose(reshape(t, {t.dim(0), t.dim(1), t.dim(2) * t.dim(3)}), 1, 2);
       };
       const Tensor y = attend(rows(x[0]), rows(x[1]), rows(x[2]));
       return Ts{reshape(transpose(y, 1, 2), x[0].shape())};
     }},
    {"Chunks", 1,
     [](const Sizes& s) {
       return std::vector<Spec>{{DType::f64, {s.b, s.h, 12, s.d}},
                                {DType::f64, {s.b, s.h, 12, s.d}},
                                {DType::f64, {s.b, s.h, 12, s.e}}};
     },
     [](const Ts& x) {
       const auto chunks = [](const Tensor& t) { return reshape(t, {t.dim(0), t.dim(1), 3, 4, t.dim(3)}); };
       const Tensor y = attend(chunks(x[0]), chunks(x[1]), chunks(x[2]));
       return Ts{reshape(y, x[2].shape())};
     }},
    {"Decoding", 1,
     [](const Sizes& s) {
       return std::vector<Spec>{{DType::f64, {s.b, s.h, 1, s.d}},
                                {DType::f64, {s.b, s.h, s.k, s.d}},
                                {DType::f64, {s.b, s.h, s.k, s.e}},
                                {DType::f64, {s.b, s.h, 1, s.d}},
                                {DType::f64, {s.b, s.h, 1, s.e}}};
     },
     [](const Ts& x) {
       return Ts{attend(x[0], concat({x[1], x[3]}, 2), concat({x[2], x[4]}, 2))};
     }},
    {"ValuesOfMoreHeads", 1,
     [](const Sizes& s) {
       return std::vector<Spec>{
           {DType::f64, {s.b, s.q, s.d}}, {DType::f64, {s.b, s.k, s.d}}, {DType::f64, {s.b, s.h, s.k, s.e}}};
     },
     [](const Ts& x) {
       const Tensor p = softmax(matmul(x[0], transpose(x[1], 1, 2)), -1);
       return Ts{matmul(unsqueeze(p, 1), x[2])};
     }},
    {"KeysAreResultsToo", 1, qkv,
     [](const Ts& x) {
       return Ts{attend(x[0], x[1] * 2.0, x[2] * 3.0), x[1] * 2.0, x[2] * 3.0};
     }},
};

TEST_P(Forms, Verdict) { check(GetParam()); }
INSTANTIATE_TEST_SUITE_P(Scale, Forms, testing::ValuesIn(kScales), name_of);
INSTANTIATE_TEST_SUITE_P(Layout, Forms, testing::ValuesIn(kLayouts), name_of);

}  // namespace
}  // namespace fovea::corpus
