// Masks, positions and biases.
#include "tests/corpus/attention/forms.h"

namespace fovea::corpus {
namespace {

Tensor scaled(const Ts& x) { return scores_of(x) / 2.0; }
Ts result(const Tensor& s, const Ts& x) { return {matmul(softmax(s, -1), x[2])}; }
Tensor rows(const Tensor& s) { return iota({s.dim(-2), 1}, 0); }
Tensor columns(const Tensor& s) { return iota({1, s.dim(-1)}, 1); }
Tensor causal(const Tensor& s) { return columns(s) <= rows(s); }
auto additive(std::function<Shape(const Sizes&)> shape) {
  return qkv_and([shape](const Sizes& s) { return Specs{{DType::f64, shape(s)}}; });
}
auto with(DType type, std::function<Shape(const Sizes&)> shape) {
  return qkv_and([type, shape](const Sizes& s) { return Specs{{type, shape(s)}}; });
}
const auto kKeepKeys = with(DType::boolean, [](const Sizes& s) { return Shape{s.b, s.k}; });
Tensor spread(const Tensor& keep) { return unsqueeze(unsqueeze(keep, 1), 1); }
Ts add_bias(const Ts& x) { return result(scaled(x) + x[3], x); }
Ts fill_keys(const Ts& x, double fill) { return result(where(spread(x[3]), scaled(x), fill), x); }

const Form kMasks[] = {
    {"AdditiveKeys", 1, additive([](const Sizes& s) {
       return Shape{s.b, 1, 1, s.k};
     }),
     add_bias},
    {"AdditiveFull", 1, additive([](const Sizes& s) {
       return Shape{s.b, 1, s.q, s.k};
     }),
     add_bias},
    {"AdditiveHeads", 1, additive([](const Sizes& s) {
       return Shape{1, s.h, s.q, s.k};
     }),
     add_bias},
    {"AdditiveMatrix", 1, additive([](const Sizes& s) {
       return Shape{s.q, s.k};
     }),
     add_bias},
    {"MaskPlusScores", 1, additive([](const Sizes& s) {
       return Shape{s.b, 1, s.q, s.k};
     }),
     [](const Ts& x) { return result(x[3] + scaled(x), x); }},
    {"OneMinusMask", 1,
     with(DType::i64,
          [](const Sizes& s) {
            return Shape{s.b, s.k};
          }),
     [](const Ts& x) { return result(scaled(x) + (1.0 - cast(spread(x[3]), DType::f64)) * -1e4, x); }, true,
     false,
     [](std::vector<Array>& in) {
       for (int64_t i = 0; i < in[3].size(); ++i) in[3].set_flat(i, in[3].get_flat(i) > 1);
     }},
    {"FilledMinusInfinity", 1, kKeepKeys, [](const Ts& x) { return fill_keys(x, -kInf); }},
    {"FilledInverted", 1, kKeepKeys,
     [](const Ts& x) { return result(where(!spread(x[3]), -kInf, scaled(x)), x); }},
    {"Filled1e9", 1, kKeepKeys, [](const Ts& x) { return fill_keys(x, -1e9); }},
    {"Filled1e30", 1, kKeepKeys, [](const Ts& x) { return fill_keys(x, -1e30); }},
    {"Filled65504", 1, kKeepKeys, [](const Ts& x) { return fill_keys(x, -65504); }},
    {"FilledLowest", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x);
       return result(where(causal(s), s, std::numeric_limits<double>::lowest()), x);
     }},
    {"Causal", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x);
       return result(where(rows(s) >= columns(s), s, -kInf), x);
     }},
    {"CausalAdded", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x);
       return result(s + where(columns(s) > rows(s), -kInf, zeros({}, DType::f64)), x);
     }},
    {"CausalTriu", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x);
       return result(s + triu(full({s.dim(-2), s.dim(-1)}, -1e9, DType::f64), 1), x);
     }},
    {"CausalBuffer", 1, qkv,
     [](const Ts& x) {
       const Tensor buffer = tril(ones({32, 32}, DType::boolean));
       const Tensor s = scaled(x);
       const Dim q = s.dim(-2), k = s.dim(-1);
       const Tensor seen = slice(slice(reshape(buffer, {1, 1, 32, 32}), 2, 0, q), 3, 0, k);
       return result(where(seen, s, -1e4), x);
     }},
    {"CausalBufferOffset", 1, qkv,
     [](const Ts& x) {
       const Tensor buffer = tril(ones({32, 32}, DType::boolean));
       const Tensor s = scaled(x);
       const Tensor seen = slice(slice(buffer, 0, 2, Dim(2) + s.dim(-2)), 1, 0, s.dim(-1));
       return result(where(seen, s, -1e4), x);
     }},
    {"CausalThenPadding", 1, additive([](const Sizes& s) {
       return Shape{s.b, 1, 1, s.k};
     }),
     [](const Ts& x) {
       const Tensor s = scaled(x);
       return result(where(causal(s), s, -kInf) + x[3], x);
     }},
    {"MaskBeforeScale", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scores_of(x);
       return result(where(!causal(s), -1e9, s) / 2.0, x);
     }},
    {"Lengths", 1, with(DType::i64, [](const Sizes& s) { return Shape{s.b}; }),
     [](const Ts& x) {
       const Tensor s = scaled(x);
       const Tensor keep = arange(s.dim(-1)) < unsqueeze(x[3], 1);
       return result(where(spread(keep), s, -kInf), x);
     }},
    {"Documents", 1,
     with(DType::i64,
          [](const Sizes& s) {
            return Shape{s.b, s.k};
          }),
     [](const Ts& x) {
       const Tensor s = scaled(x);
       const Tensor same = equal(unsqueeze(x[3], 2), unsqueeze(x[3], 1));
       return result(where(unsqueeze(same && causal(s), 1), s, -kInf), x);
     },
     true, true},
    {"Prefix", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x);
       return result(where(causal(s) || columns(s) < 3, s, -kInf), x);
     }},
    {"Window", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x);
       return result(where(causal(s) && rows(s) - columns(s) < 3, s, -kInf), x);
     },
     true, true},
    {"Dilated", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x);
       return result(where(causal(s) && equal(mod(rows(s) - columns(s), 2), 0), s, -kInf), x);
     },
     true, true},
    {"GlobalTokens", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x);
       const Tensor near = rows(s) - columns(s) < 2 && columns(s) - rows(s) < 2;
       return result(where(near || columns(s) < 1 || rows(s) < 1, s, -kInf), x);
     },
     true, true},
    {"BlockTable", 1,
     [](const Sizes& s) {
       return Specs{{DType::f64, {s.b, s.h, 6, s.d}},
                    {DType::f64, {s.b, s.h, 8, s.d}},
                    {DType::f64, {s.b, s.h, 8, s.e}},
                    {DType::boolean, {3, 2}}};
     },
     [](const Ts& x) {
       const Tensor wide = reshape(broadcast_to(reshape(x[3], {3, 1, 2, 1}), {3, 2, 2, 4}), {6, 8});
       return result(where(wide, scaled(x), -kInf), x);
     },
     true, false,
     [](std::vector<Array>& in) {
       for (int64_t i = 0; i < 6; ++i) in[3].set_flat(i, i != 3);
     }},
    {"LogOfMask", 1, kKeepKeys,
     [](const Ts& x) { return result(scaled(x) + log(cast(spread(x[3]), DType::f64)), x); }},
};

const Form kBiases[] = {
    {"Alibi", 1,
     with(DType::f64,
          [](const Sizes& s) {
            return Shape{s.h, 1, 1};
          }),
     [](const Ts& x) {
       const Tensor s = scaled(x);
       return result(s + x[3] * cast(columns(s), DType::f64), x);
     }},
    {"AlibiDistance", 1,
     with(DType::f64,
          [](const Sizes& s) {
            return Shape{s.h, 1, 1};
          }),
     [](const Ts& x) {
       const Tensor s = scaled(x);
       return result(s - x[3] * cast(abs(rows(s) - columns(s)), DType::f64), x);
     }},
    {"BucketTable", 1,
     with(DType::f64,
          [](const Sizes& s) {
            return Shape{4, s.h};
          }),
     [](const Ts& x) {
       const Tensor s = scores_of(x);
       const Tensor bucket = clip(rows(s) - columns(s), 0, 3);
       return result(s + unsqueeze(permute(gather(x[3], bucket), {2, 0, 1}), 0), x);
     }},
    {"Shifted", 1,
     [](const Sizes&) {
       return Specs{{DType::f64, {2, 3, 5, 4}}, {DType::f64, {2, 3, 5, 4}}, {DType::f64, {2, 3, 5, 4}},
                    {DType::f64, {3, 5, 4}},    {DType::f64, {3, 1, 4}},    {DType::f64, {3, 1, 4}}};
     },
     [](const Ts& x) {
       Tensor r = matmul(x[0] + x[4], transpose(x[3], 1, 2));
       r = reshape(pad(r, {0, 0, 0, 1}, {0, 0, 0, 0}), {2, 3, 6, 5});
       r = slice(r, 2, 1, 6);
       return result((matmul(x[0] + x[5], transpose(x[1], 2, 3)) + r) / 2.0, x);
     },
     false},
    {"Disentangled", 1,
     [](const Sizes&) {
       return Specs{{DType::f64, {6, 5, 4}},
                    {DType::f64, {6, 5, 4}},
                    {DType::f64, {6, 5, 4}},
                    {DType::f64, {6, 9, 4}},
                    {DType::f64, {6, 9, 4}}};
     },
     [](const Ts& x) {
       const double scale = 1 / std::sqrt(12.0);
       const Tensor place = broadcast_to(unsqueeze(iota({5, 5}, 0) - iota({5, 5}, 1) + 4, 0), {6, 5, 5});
       const Tensor c2p = take_along_axis(matmul(x[0], transpose(x[3], 1, 2)), place, -1);
       const Tensor p2c = transpose(take_along_axis(matmul(x[1], transpose(x[4], 1, 2)), place, -1), 1, 2);
       const Tensor s = matmul(x[0], transpose(x[1] * scale, 1, 2)) + c2p * scale + p2c * scale;
       return Ts{matmul(softmax(s, -1), x[2])};
     },
     false},
    {"TwoBiases", 1, qkv_and([](const Sizes& s) {
       return Specs{{DType::f64, {s.b, 1, 1, s.k}}, {DType::f64, {1, s.h, s.q, s.k}}};
     }),
     [](const Ts& x) { return result(scaled(x) + x[3] + x[4], x); }},
    {"PairBias", 1, qkv_and([](const Sizes& s) {
       return Specs{{DType::f64, {s.b, s.q, s.k, 6}}, {DType::f64, {s.h, 6}}};
     }),
     [](const Ts& x) {
       return result(scaled(x) + permute(linear(x[3], x[4]), {0, 3, 1, 2}), x);
     }},
    {"Rotary", 1,
     [](const Sizes& s) {
       return Specs{{DType::f64, {s.b, s.h, s.k, 4}},
                    {DType::f64, {s.b, s.h, s.k, 4}},
                    {DType::f64, {s.b, s.h, s.k, s.e}},
                    {DType::f64, {s.k, 4}},
                    {DType::f64, {s.k, 4}}};
     },
     [](const Ts& x) {
       const auto turned = [&](const Tensor& t) {
         const Tensor half = concat({-slice(t, -1, 2, 4), slice(t, -1, 0, 2)}, -1);
         return t * x[3] + half * x[4];
       };
       return Ts{matmul(softmax(matmul(turned(x[0]), transpose(turned(x[1]), -1, -2)) / 2.0, -1), x[2])};
     },
     true, true},
    {"Normalised", 1, qkv,
     [](const Ts& x) {
       const auto unit = [](const Tensor& t) { return t / sqrt(sum(t * t, {-1}, true) + 1e-6); };
       return Ts{matmul(softmax(matmul(unit(x[0]), transpose(unit(x[1]), -1, -2)) * 10.0, -1), x[2])};
     }},
    {"RowBiasCancels", 1, additive([](const Sizes& s) {
       return Shape{s.b, s.h, s.q, 1};
     }),
     add_bias},
};

TEST_P(Forms, Verdict) { check(GetParam()); }
INSTANTIATE_TEST_SUITE_P(Mask, Forms, testing::ValuesIn(kMasks), name_of);
INSTANTIATE_TEST_SUITE_P(Bias, Forms, testing::ValuesIn(kBiases), name_of);

}  // namespace
}  // namespace fovea::corpus
