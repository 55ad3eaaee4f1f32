// The attention pass as a pass: where it fires and where not, what it says, and what it leaves as it is.
#include <chrono>

#include "frontends/cpp/fovea.h"
#include "ops/composite/attention/attention.h"
#include "optim/attention/recognise.h"
#include "tests/passes/pass_test_util.h"

namespace fovea::test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
using Ts = std::vector<Tensor>;

struct Seen {
  std::shared_ptr<Module> module;
  std::vector<FusionRecord> records;
  const Node* attention = nullptr;
};

Seen see(const std::shared_ptr<Module>& before) {
  Seen s{std::make_shared<Module>(*before), {}, nullptr};
  PassContext context{s.module, "cpu"};
  context.records = &s.records;
  if (auto graph = recognise_attention(before->function("main"), context)) {
    verify(*s.module, *graph);
    s.module->functions["main"] = graph;
  }
  for (const Node& n : s.module->function("main").nodes)
    if (n.op->name() == "attention") s.attention = &n;
  return s;
}
Seen see(const Function& fn, const std::vector<Spec>& specs) { return see(trace(fn, specs)); }

std::vector<Spec> qkv() {
  const Dim b = sym("B"), l = sym("L");
  return {{DType::f32, {b, 4, l, 64}}, {DType::f32, {b, 4, l, 64}}, {DType::f32, {b, 4, l, 64}}};
}
std::vector<Spec> qkv_and(const std::vector<Spec>& more) {
  std::vector<Spec> all = qkv();
  all.insert(all.end(), more.begin(), more.end());
  return all;
}
Tensor products(const Ts& x) { return matmul(x[0], transpose(x[1], -1, -2)); }
Tensor columns(const Tensor& s) { return iota({1, s.dim(-1)}, 1); }
Tensor rows(const Tensor& s) { return iota({s.dim(-2), 1}, 0); }
Ts weighted(const Tensor& s, const Ts& x) { return {matmul(softmax(s, -1), x[2])}; }

std::string score(const Seen& s) { return s.attention ? s.attention->attrs.text("score") : "no attention"; }

// ---- normal forms

TEST(AttentionPass, ScaleAndCausalMaskInAnySpelling) {
  const std::string normal = score(see(
      [](const Ts& x) {
        const Tensor s = products(x) / 8.0;
        return weighted(where(columns(s) <= rows(s), s, -kInf), x);
      },
      qkv()));
  EXPECT_EQ(normal,
            "v0 = input 0; v1 = constant 0.125; v2 = mul v0 v1; v3 = iota -1; v4 = iota -2; "
            "v5 = less_equal v3 v4; v6 = constant -inf; v7 = select v5 v2 v6; return v7");
  const Function others[] = {
      [](const Ts& x) {
        const Tensor s = 0.125 * products(x);
        return weighted(where(columns(s) > rows(s), -kInf, s), x);
      },
      [](const Ts& x) {
        const Tensor s = products(x) * 0.125;
        return weighted(where(rows(s) >= columns(s), zeros({}, DType::f32), -kInf) + s, x);
      },
      [](const Ts& x) {
        const Tensor s = products(x);
        const Tensor seen = tril(ones({s.dim(-2), s.dim(-1)}, DType::boolean));
        return weighted(where(seen, s, -kInf) / 8.0, x);
      },
      [](const Ts& x) {
        const Tensor s = products(x) * 0.125;
        return weighted(s + log(tril(ones({s.dim(-2), s.dim(-1)}, DType::f32))), x);
      },
  };
  for (const Function& fn : others) EXPECT_EQ(score(see(fn, qkv())), normal);
}

TEST(AttentionPass, DenseConstantsSayWhatTheyMean) {
  const Dims size{6, 6};
  const auto constant = [&](auto keep) {
    Array a(DType::boolean, size);
    for (int64_t i = 0; i < 36; ++i) a.set_flat(i, keep(i / 6, i % 6));
    return a;
  };
  const auto with = [&](const Array& mask) {
    const std::vector<Spec> specs(3, Spec(DType::f32, {2, 6, 8}));
    const Seen s = see(
        [&](const Ts& x) {
          return Ts{
              matmul(softmax(where(Tensor(mask), matmul(x[0], transpose(x[1], 1, 2)), -kInf), -1), x[2])};
        },
        specs);
    EXPECT_EQ(s.attention ? s.attention->inputs.size() : 0, 3u) << print(*s.module);  // no mask is read
    return s.records.empty() ? std::string() : s.records[0].score;
  };
  EXPECT_EQ(with(constant([](int64_t r, int64_t c) { return c <= r; })), "scale 1, causal(0), fill -inf");
  EXPECT_EQ(with(constant([](int64_t r, int64_t c) { return c <= r && r - c < 3; })),
            "scale 1, causal(0) and window(-2), fill -inf");
  EXPECT_EQ(with(constant([](int64_t, int64_t c) { return c < 4; })), "scale 1, keys below 4, fill -inf");
  EXPECT_EQ(with(constant([](int64_t r, int64_t c) { return c < 2 || c <= r; })),
            "scale 1, (causal(0) or keys below 2), fill -inf");
}

TEST(AttentionPass, SinkGuardAndFactor) {
  const Seen one = see(
      [](const Ts& x) {
        const Tensor e = exp(products(x) / 8.0);
        return Ts{matmul(e / (1.0 + sum(e, {-1}, true)), x[2])};
      },
      qkv());
  ASSERT_TRUE(one.attention);
  EXPECT_EQ(one.attention->attrs.text("sink"), "v0 = constant 0; return v0");
  const Seen guarded = see(
      [](const Ts& x) {
        const Tensor p = softmax(where(x[3], products(x), -kInf), -1);
        return Ts{matmul(where(is_nan(p), 0.0, p), x[2])};
      },
      qkv_and({{DType::boolean, {sym("B"), 1, 1, sym("L")}}}));
  ASSERT_TRUE(guarded.attention);
  EXPECT_EQ(guarded.attention->attrs.text("guard"), "nan");
  const Seen dropped =
      see([](const Ts& x) { return Ts{matmul(dropout(softmax(products(x), -1), x[3], 0.25, 7), x[2])}; },
          qkv_and({{DType::i64, {2}}}));
  ASSERT_TRUE(dropped.attention);
  EXPECT_NE(dropped.attention->attrs.text("factor").find("random 7"), std::string::npos)
      << dropped.attention->attrs.text("factor");
}

// ---- no copies

TEST(AttentionPass, GroupedHeadsAreNotRepeated) {
  const Dim l = sym("L");
  const Seen s = see(
      [](const Ts& x) {
        const auto repeated = [](const Tensor& t) {
          const Shape n = t.shape();
          return reshape(broadcast_to(unsqueeze(t, 2), {n[0], 2, 4, n[2], n[3]}), {n[0], 8, n[2], n[3]});
        };
        return Ts{matmul(softmax(matmul(x[0], transpose(repeated(x[1]), -1, -2)), -1), repeated(x[2]))};
      },
      {{DType::f32, {2, 8, l, 16}}, {DType::f32, {2, 2, l, 16}}, {DType::f32, {2, 2, l, 16}}});
  ASSERT_TRUE(s.attention);
  const Graph& g = s.module->function("main");
  EXPECT_EQ(to_string(g.type(s.attention->inputs[1]).shape), "[2, 2, 1, L, 16]");
  EXPECT_EQ(ops_of(*s.module).find("broadcast_to"), std::string::npos) << print(*s.module);
}

TEST(AttentionPass, ResultLiesAsItIsRead) {
  const Seen s = see(
      [](const Ts& x) {
        const Tensor y = matmul(softmax(products(x), -1), x[2]);
        return Ts{reshape(transpose(y, 1, 2), {y.dim(0), y.dim(2), 256})};
      },
      qkv());
  ASSERT_TRUE(s.attention);
  EXPECT_EQ(s.attention->attrs.ints("order"), (Ints{0, 2, 1, 3}));
}

// ---- what it leaves alone

TEST(AttentionPass, NothingChangesWithoutSoftmax) {
  const auto module = trace([](const Ts& x) { return Ts{matmul(products(x), x[2])}; }, qkv());
  PassContext context{module, "cpu"};
  EXPECT_EQ(recognise_attention(module->function("main"), context), nullptr);
}

TEST(AttentionPass, KeepsSourcesScopesAndTheUsersNodes) {
  const Seen s = see(
      [](const Ts& x) {
        const NameScope scope("encoder.0");
        const Tensor p = softmax(products(x), -1);
        return Ts{matmul(p, x[2]), gelu(p)};
      },
      qkv());
  ASSERT_TRUE(s.attention);
  EXPECT_EQ(s.module->scopes[static_cast<size_t>(s.attention->scope)], "encoder.0");
  EXPECT_NE(std::string(s.attention->source.file).find("attention_test.cpp"), std::string::npos);
  EXPECT_EQ(s.records.at(0).scope, "encoder.0");
  EXPECT_NE(ops_of(*s.module).find("gelu"), std::string::npos);
  EXPECT_NE(ops_of(*s.module).find("softmax"), std::string::npos);
}

// ---- refusals

struct Refused {
  const char* name;
  const char* code;
  const char* sentence;
  std::vector<Spec> specs;
  Function fn;
};
class Refusals : public testing::TestWithParam<Refused> {};
void PrintTo(const Refused& r, std::ostream* out) { *out << r.name; }

TEST_P(Refusals, SayWhy) {
  const Seen s = see(GetParam().fn, GetParam().specs);
  EXPECT_FALSE(s.attention) << print(*s.module);
  ASSERT_EQ(s.records.size(), 1u);
  const FusionRecord& r = s.records[0];
  EXPECT_FALSE(r.fused);
  EXPECT_EQ(code_of(r), GetParam().code);
  EXPECT_NE(r.sentence.find(GetParam().sentence), std::string::npos) << r.sentence;
  EXPECT_FALSE(r.nearest.empty());
  EXPECT_NE(std::string(r.source.file).find("attention_test.cpp"), std::string::npos) << r.node;
}

const Refused kRefusals[] = {
    {"QueryAxis", "AXIS", "the softmax runs over other tokens", qkv(),
     [](const Ts& x) { return Ts{matmul(softmax(products(x), -2), x[2])}; }},
    {"Norm", "NON_POINTWISE(layer_norm)", "stands layer_norm", qkv_and({{DType::f32, {sym("L")}}}),
     [](const Ts& x) { return weighted(layer_norm(products(x), x[3], zeros({sym("L")}, DType::f32)), x); }},
    {"Cumulative", "NON_POINTWISE(cumsum)", "stands cumsum", qkv(),
     [](const Ts& x) { return weighted(cumsum(products(x), -1), x); }},
    {"OtherKeys", "REDUCES_J", "depends on the scores of other keys", qkv(),
     [](const Ts& x) {
       const Tensor s = products(x);
       return weighted(s / sqrt(sum(s * s, {-1}, true)), x);
     }},
    {"TalkingHeadsBefore", "HEAD_MIX", "mixes heads", qkv_and({{DType::f32, {4, 4}}}),
     [](const Ts& x) {
       return weighted(einsum("gh,bhij->bgij", {x[3], products(x)}), x);
     }},
    {"TalkingHeadsAfter", "HEAD_MIX", "mixes heads", qkv_and({{DType::f32, {4, 4}}}),
     [](const Ts& x) {
       return Ts{matmul(einsum("gh,bhij->bgij", {x[3], softmax(products(x), -1)}), x[2])};
     }},
    {"Logarithms", "NON_POINTWISE(log_softmax)", "logarithms of the probabilities", qkv(),
     [](const Ts& x) { return Ts{matmul(log_softmax(products(x), -1), x[2])}; }},
    {"MeanOverHeads", "HEAD_MIX", "mean over other axes", qkv(),
     [](const Ts& x) { return Ts{matmul(mean(softmax(products(x), -1), {1}), mean(x[2], {1}))}; }},
    {"CumulativeWeights", "NON_POINTWISE(cumsum)", "stands cumsum", qkv(),
     [](const Ts& x) { return Ts{matmul(cumsum(softmax(products(x), -1), -1), x[2])}; }},
    {"SquaredDistances", "NON_POINTWISE(sum)", "no product of two tensors", qkv(),
     [](const Ts& x) {
       const Tensor apart = unsqueeze(x[0], 3) - unsqueeze(x[1], 2);
       return weighted(sum(apart * apart, {-1}) * -0.5, x);
     }},
    {"WrongSum", "DENOMINATOR", "not the sum", qkv(),
     [](const Ts& x) {
       const Tensor e = exp(products(x));
       return Ts{matmul(e / sum(e * e, {-1}, true), x[2])};
     }},
};
INSTANTIATE_TEST_SUITE_P(AttentionPass, Refusals, testing::ValuesIn(kRefusals),
                         [](const auto& of) { return of.param.name; });

// ---- cost

TEST(AttentionPass, CostsAScanWithoutSoftmaxAndIsLinearWithIt) {
  const auto chain = [](int64_t nodes, bool softmaxes) {
    return trace(
        [=](const Ts& x) {
          Tensor y = x[0];
          for (int64_t i = 0; i < nodes; ++i)
            y = softmaxes && i % 16 == 0 ? matmul(softmax(matmul(y, transpose(y, 0, 1)), -1), y) : y + 1.0;
          return Ts{y};
        },
        {{DType::f32, {4, 4}}});
  };
  const auto seconds = [](const std::shared_ptr<Module>& module) {
    double best = 1e9;
    for (int k = 0; k < 3; ++k) {
      PassContext context{module, "cpu"};
      const auto start = std::chrono::steady_clock::now();
      recognise_attention(module->function("main"), context);
      best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    return best;
  };
  EXPECT_LT(seconds(chain(100000, false)), 0.1);
  const double small = seconds(chain(1000, true)), large = seconds(chain(8000, true));
  EXPECT_LT(large, 24 * small + 0.05);
}

}  // namespace
}  // namespace fovea::test
