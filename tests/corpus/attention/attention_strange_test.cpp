// Spellings that are seldom seen, and random mixtures of all of them.
#include <random>

#include "tests/corpus/attention/forms.h"

namespace fovea::corpus {
namespace {

Tensor scaled(const Ts& x) { return scores_of(x) / 2.0; }
Tensor rows(const Tensor& s) { return iota({s.dim(-2), 1}, 0); }
Tensor columns(const Tensor& s) { return iota({1, s.dim(-1)}, 1); }
auto with(DType type, std::function<Shape(const Sizes&)> shape) {
  return qkv_and([type, shape](const Sizes& s) { return Specs{{type, shape(s)}}; });
}

const Form kForms[] = {
    {"PowerOfTwo", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x), e = pow(2.0, (s - top(s)) * 1.4426950408889634);
       return Ts{matmul(e / total(e), x[2])};
     }},
    {"MeanSubtracted", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x);
       return Ts{matmul(softmax(s - mean(s, {-1}, true), -1), x[2])};
     }},
    {"ValuesEqualForAllKeys", 1, qkv,
     [](const Ts& x) {
       const Tensor v = broadcast_to(max(x[2], {2}, true), x[2].shape());
       return Ts{matmul(softmax(scaled(x), -1), v)};
     }},
    {"NormalisedByL1", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x), e = exp(s - top(s));
       return Ts{matmul(e / maximum(total(abs(e)), 1e-12), x[2])};
     }},
    {"Differential", 2, qkv_and([](const Sizes& s) {
       return Specs{
           {DType::f64, {s.b, s.h, s.q, s.d}}, {DType::f64, {s.b, s.h, s.k, s.d}}, {DType::f64, {s.h, 1, 1}}};
     }),
     [](const Ts& x) {
       const Tensor p = softmax(scaled(x), -1), r = softmax(matmul(x[3], transpose(x[4], -1, -2)), -1);
       return Ts{matmul(p - x[5] * r, x[2])};
     }},
    {"MixedWithUniform", 1, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x);
       return Ts{matmul(0.9 * softmax(s, -1) + 0.1 * ones(s.shape(), s.dtype()), x[2])};
     }},
    {"SquaredDistance", 1, qkv,
     [](const Ts& x) {
       const Tensor q = sum(x[0] * x[0], {-1}, true), k = transpose(sum(x[1] * x[1], {-1}, true), -1, -2);
       return Ts{matmul(softmax(-(q + k - 2.0 * scores_of(x)), -1), x[2])};
     }},
    {"HeadByHead", 3, qkv,
     [](const Ts& x) {
       Ts out;
       for (int64_t h = 0; h < 3; ++h) {
         const auto head = [&](size_t i) { return select_index(x[i], 1, h); };
         out.push_back(matmul(softmax(matmul(head(0), transpose(head(1), 1, 2)), -1), head(2)));
       }
       return Ts{concat(out, -1)};
     }},
    {"LengthFirst", 1,
     [](const Sizes& s) {
       return Specs{{DType::f64, {s.q, s.b, 6}}, {DType::f64, {s.k, s.b, 6}}, {DType::f64, {s.k, s.b, 6}}};
     },
     [](const Ts& x) {
       const auto heads = [](const Tensor& t) {
         return transpose(reshape(t, {t.dim(0), t.dim(1) * Dim(3), 2}), 0, 1);
       };
       const Tensor p = softmax(matmul(heads(x[0]) * 0.7, transpose(heads(x[1]), 1, 2)), -1);
       return Ts{reshape(transpose(matmul(p, heads(x[2])), 0, 1), {x[0].dim(0), x[0].dim(1), 6})};
     }},
    {"TwoKindsOfChannels", 1, qkv_and([](const Sizes& s) {
       return Specs{{DType::f64, {s.b, s.h, s.q, 2}}, {DType::f64, {s.b, 1, s.k, 2}}};
     }),
     [](const Ts& x) {
       const Tensor s = (scores_of(x) + matmul(x[3], transpose(x[4], -1, -2))) * 0.3;
       return Ts{matmul(softmax(where(columns(s) <= rows(s), s, -kInf), -1), x[2])};
     }},
    {"RelativeKeys", 1,
     with(DType::f64,
          [](const Sizes& s) {
            return Shape{s.q, s.k, s.d};
          }),
     [](const Ts& x) {
       return Ts{matmul(softmax(scores_of(x) + einsum("bhid,ijd->bhij", {x[0], x[3]}), -1), x[2])};
     }},
    {"ThreeOperands", 1, with(DType::f64, [](const Sizes& s) { return Shape{s.d}; }),
     [](const Ts& x) {
       return Ts{matmul(softmax(einsum("bhid,bhjd,d->bhij", {x[0], x[1], x[3]}), -1), x[2])};
     }},
    {"ProjectedResult", 1,
     with(DType::f64,
          [](const Sizes& s) {
            return Shape{s.h, s.e, 6};
          }),
     [](const Ts& x) {
       return Ts{einsum("bhij,bhje,hef->bif", {softmax(scaled(x), -1), x[2], x[3]})};
     }},
    {"OuterProductOfMasks", 1,
     with(DType::f64,
          [](const Sizes& s) {
            return Shape{s.b, s.k};
          }),
     [](const Ts& x) {
       const Tensor both = unsqueeze(x[3], 2) * unsqueeze(x[3], 1);
       return Ts{matmul(softmax(scaled(x) + unsqueeze((1.0 - both) * -10.0, 1), -1), x[2])};
     },
     true, true},
    {"PositionsGiven", 1, qkv_and([](const Sizes& s) {
       return Specs{{DType::i64, {s.b, s.q}}, {DType::i64, {s.b, s.k}}};
     }),
     [](const Ts& x) {
       const Tensor seen = unsqueeze(x[4], 1) <= unsqueeze(x[3], 2);
       return Ts{matmul(softmax(where(unsqueeze(seen, 1), scaled(x), -1e9), -1), x[2])};
     }},
    {"KeysOnAGrid", 1,
     [](const Sizes& s) {
       return Specs{{DType::f64, {s.b, s.q, 3}}, {DType::f64, {s.b, 2, 4, 3}}, {DType::f64, {s.b, 2, 4, 5}}};
     },
     [](const Ts& x) {
       const Tensor s = einsum("bqd,bhwd->bqhw", {x[0], x[1]});
       const Tensor e = exp(s - max(s, {-2, -1}, true));
       return Ts{einsum("bqhw,bhwe->bqe", {e / sum(e, {-2, -1}, true), x[2]})};
     }},
    {"KeysOnAGridFlattened", 1,
     [](const Sizes& s) {
       return Specs{{DType::f64, {s.b, s.q, 3}}, {DType::f64, {s.b, 2, 4, 3}}, {DType::f64, {s.b, 2, 4, 5}}};
     },
     [](const Ts& x) {
       const Tensor s = einsum("bqd,bhwd->bqhw", {x[0], x[1]});
       const Tensor p = softmax(reshape(s, {s.dim(0), s.dim(1), 8}), -1);
       return Ts{einsum("bqhw,bhwe->bqe", {reshape(p, s.shape()), x[2]})};
     }},
    {"FiniteOrZero", 1,
     with(DType::boolean,
          [](const Sizes& s) {
            return Shape{s.b, 1, 1, s.k};
          }),
     [](const Ts& x) {
       const Tensor p = softmax(where(x[3], scaled(x), -kInf), -1);
       return Ts{matmul(where(is_finite(p), p, 0.0), x[2])};
     }},
    {"LearnedQueries", 1,
     [](const Sizes& s) {
       return Specs{{DType::f64, {4, 3}}, {DType::f64, {s.b, s.k, 3}}, {DType::f64, {s.b, s.k, 5}}};
     },
     [](const Ts& x) { return Ts{matmul(softmax(matmul(x[0], transpose(x[1], 1, 2)), -1), x[2])}; }},
    {"ShiftedWindows", 1,
     [](const Sizes& s) {
       return Specs{{DType::f64, {s.b * Dim(2), 3, 4, 3}},
                    {DType::f64, {s.b * Dim(2), 3, 4, 3}},
                    {DType::f64, {s.b * Dim(2), 3, 4, 5}},
                    {DType::f64, {2, 4, 4}},
                    {DType::f64, {7, 3}}};
     },
     [](const Ts& x) {
       Tensor s = scaled(x);
       const Tensor distance = reshape(iota({4, 1}, 0) - iota({1, 4}, 1) + 3, {16});
       const Tensor bias = permute(reshape(gather(x[4], distance), {4, 4, 3}), {2, 0, 1});
       s = s + unsqueeze(bias, 0);
       s = reshape(s, {-1, 2, 3, 4, 4}) + unsqueeze(unsqueeze(x[3], 1), 0);
       return Ts{matmul(softmax(reshape(s, {-1, 3, 4, 4}), -1), x[2])};
     },
     false},
    {"AlongOneAxis", 1,
     [](const Sizes& s) {
       return Specs{
           {DType::f64, {s.b, 3, s.k, 4}}, {DType::f64, {s.b, 3, s.k, 4}}, {DType::f64, {s.b, 3, s.k, 4}}};
     },
     [](const Ts& x) {
       const Tensor p = softmax(einsum("brid,brjd->brij", {x[0], x[1]}), -1);
       return Ts{einsum("brij,brjd->brid", {p, x[2]})};
     }},
    {"CosineAfterwards", 1, qkv,
     [](const Ts& x) {
       const auto norm = [](const Tensor& t) { return sqrt(sum(t * t, {-1}, true) + 1e-6); };
       const Tensor s = scores_of(x) / (norm(x[0]) * transpose(norm(x[1]), -1, -2));
       return Ts{matmul(softmax(10.0 * s, -1), x[2])};
     }},
    {"NumbersUnderTheMask", 1,
     with(DType::boolean,
          [](const Sizes& s) {
            return Shape{s.b, 1, 1, s.k};
          }),
     [](const Ts& x) { return Ts{matmul(softmax(where(x[3], scaled(x), -kInf), -1), x[2])}; }, false, false,
     [](std::vector<Array>& in) {
       // Key 1 of every batch is masked, and not a number; key 2 is infinite.
       for (int64_t b = 0; b < 2; ++b)
         for (int64_t j = 0; j < 7; ++j) in[3].set_flat(b * 7 + j, j != 1 && j != 2);
       for (int64_t row = 0; row < 6; ++row)
         for (int64_t d = 0; d < 3; ++d) {
           in[1].set_flat((row * 7 + 1) * 3 + d, std::nan(""));
           in[1].set_flat((row * 7 + 2) * 3 + d, d ? kInf : -kInf);
         }
     }},
    {"SlicedWeights", 1, qkv,
     [](const Ts& x) {
       // The first two queries only.
       const Tensor p = slice(softmax(scaled(x), -1), 2, 0, 2);
       return Ts{matmul(p, x[2])};
     },
     false},
    {"TopKeys", 0, qkv,
     [](const Ts& x) {
       const Tensor s = scaled(x), least = slice(top_k(s, 2).values, -1, 1, 2);
       return Ts{matmul(softmax(where(s < least, -kInf, s), -1), x[2])};
     },
     false},
    {"PooledByOneLearnedQuery", 1,
     [](const Sizes& s) {
       return Specs{{DType::f64, {s.b, s.k, 6}}, {DType::f64, {1, 6}}, {DType::f64, {6, 6}}};
     },
     [](const Ts& x) {
       const Tensor p = softmax(squeeze(linear(tanh(linear(x[0], x[2])), x[1]), {-1}), -1);
       return Ts{squeeze(matmul(unsqueeze(p, 1), x[0]), {1})};
     }},
    {"SoftTargets", 0,
     [](const Sizes& s) {
       return Specs{{DType::f64, {s.b, 6}}, {DType::f64, {5, 6}}, {DType::f64, {s.b, 5}}};
     },
     [](const Ts& x) { return Ts{sum(softmax(linear(x[0], x[1]), -1) * log_softmax(x[2], -1), {-1})}; }},
};

TEST_P(Forms, Verdict) { check(GetParam()); }
INSTANTIATE_TEST_SUITE_P(Strange, Forms, testing::ValuesIn(kForms), name_of);

// One attention in random spellings of its parts: all mean the same.
class Spelling {
 public:
  explicit Spelling(uint32_t seed) : random_(seed) {}

  Ts operator()(const Ts& x) {
    const Tensor p = moved(probabilities(masked(scaled_scores(x[0], x[1]), x[3])));
    return {product(p, x[2])};
  }

 private:
  int pick(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n)); }

  Tensor contracted(const Tensor& q, const Tensor& k) {
    switch (pick(4)) {
      case 0:
        return matmul(q, transpose(k, -1, -2));
      case 1:
        return einsum("bhid,bhjd->bhij", {q, k});
      case 2:
        return transpose(matmul(k, transpose(q, -1, -2)), -1, -2);
      default: {
        const Shape a = q.shape(), b = k.shape();
        const Tensor s = matmul(reshape(q, {a[0] * a[1], a[2], a[3]}),
                                transpose(reshape(k, {b[0] * b[1], b[2], b[3]}), 1, 2));
        return reshape(s, {a[0], a[1], a[2], b[2]});
      }
    }
  }
  Tensor scaled_scores(const Tensor& q, const Tensor& k) {
    switch (pick(5)) {
      case 0:
        return contracted(q, k) / 2.0;
      case 1:
        return contracted(q * 0.5, k);
      case 2:
        return contracted(q, k / 2.0);
      case 3:
        return contracted(q / 4.0, k * 2.0);
      default:
        return 0.25 * (contracted(q, k) + contracted(q, k));
    }
  }
  Tensor masked(const Tensor& s, const Tensor& keep) {
    const Tensor seen = pick(2) ? columns(s) <= rows(s)
                                : cast(tril(ones({s.dim(-2), s.dim(-1)}, DType::f64)), DType::boolean);
    const Tensor both = logical_and(keep, seen);
    switch (pick(6)) {
      case 0:
        return where(both, s, -kInf);
      case 1:
        return where(!both, -kInf, s);
      case 2:
        return where(seen, s, -kInf) + where(keep, zeros({}, DType::f64), -kInf);
      case 3:
        return where(both, zeros({}, DType::f64), -kInf) + s;
      case 4:
        return s + log(cast(both, DType::f64));
      default:
        return where(keep, where(seen, s, -kInf), -kInf);
    }
  }
  Tensor probabilities(const Tensor& s) {
    switch (pick(6)) {
      case 0:
        return softmax(s, -1);
      case 1:
        return transpose(softmax(transpose(s, -1, -2), -2), -1, -2);
      case 2:
        return exp(log_softmax(s, -1));
      case 3:
        return exp(s - logsumexp(s, {-1}, true));
      case 4: {
        const Tensor e = exp(s - top(s));
        return e / total(e);
      }
      default: {
        const Tensor e = exp(s - stop_gradient(top(s)));
        return e * reciprocal(total(e));
      }
    }
  }
  Tensor moved(const Tensor& p) {
    switch (pick(3)) {
      case 0:
        return p;
      case 1:
        return squeeze(unsqueeze(p, 2), {2});
      default:
        return permute(permute(p, {3, 0, 2, 1}), {1, 3, 2, 0});
    }
  }
  Tensor product(const Tensor& p, const Tensor& v) {
    switch (pick(4)) {
      case 0:
        return matmul(p, v);
      case 1:
        return einsum("bhij,bhje->bhie", {p, v});
      case 2:
        return transpose(matmul(transpose(v, -1, -2), transpose(p, -1, -2)), -1, -2);
      default:
        return sum(unsqueeze(p, -1) * unsqueeze(v, 2), {3});
    }
  }

  std::mt19937 random_;
};

TEST(Spellings, RandomMixturesMeanTheSame) {
  const auto arguments = with(DType::boolean, [](const Sizes& s) { return Shape{s.b, 1, 1, s.k}; });
  Sizes sizes;
  sizes.q = sizes.k = sym("L");
  sizes.b = sym("B");
  const Bindings bound{{"L", 6}, {"B", 2}};
  std::vector<Array> in, expected;
  for (uint32_t seed = 0; seed < 80; ++seed) {
    SCOPED_TRACE(seed);
    Spelling spelling(seed);
    const auto before = trace([&](const Ts& x) { return spelling(x); }, arguments(sizes));
    std::vector<FusionRecord> records;
    const auto after = recognised(before, &records);
    std::string said;
    for (const FusionRecord& r : records) said += code_of(r) + " " + r.sentence + r.score + "\n";
    ASSERT_EQ(count_of(after->function("main"), "attention"), 1) << said << print(*before);
    const auto gradients = with_gradients(after);
    if (expected.empty()) {
      in = random_inputs(*with_gradients(before), bound, 5);
      for (int64_t b = 0; b < 2; ++b) in[3].set_flat(b * 6, 1);  // no row is empty
      expected = run_reference(with_gradients(before), in);
    }
    expect_close(expected, run_reference(gradients, in), 1e-9, "spelling " + std::to_string(seed));
  }
}

}  // namespace
}  // namespace fovea::corpus
