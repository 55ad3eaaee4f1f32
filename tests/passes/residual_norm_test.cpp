// Sums between layers fused with the norm behind them: which are found, which are left alone and why.
#include "optim/passes/residual_norm.h"

#include "frontends/cpp/fovea.h"
#include "graph/build/builder.h"
#include "tests/passes/pass_test_util.h"

namespace fovea::test {
namespace {

std::shared_ptr<Module> after(const std::string& text) {
  return after_pass(parse(text), "residual_norm", Stage::forward);
}

const Node& fused_node(const Module& module) {
  for (const Node& n : module.function("main").nodes)
    if (n.op->name() == "residual_norm") return n;
  throw std::runtime_error("no residual_norm");
}

constexpr const char* kPostNorm = R"(
func @main(%0: f32[B, L, 16], %1: f32[B, L, 16], %2: f32[16], %3: f32[16], %4: i64[2]) -> (%7#0) {
  %5 = dropout(%1, %4) {p = 0.1, ordinal = 3}
  %6 = add(%0, %5)
  %7 = layer_norm(%6, %2, %3)
})";

constexpr const char* kPreNorm = R"(
func @main(%0: f32[B, L, 16], %1: f32[B, L, 16], %2: f32[16], %3: i64[2]) -> (%7) {
  %4 = dropout(%1, %3) {p = 0.1}
  %5 = add(%4, %0)
  %6 = rms_norm(%5, %2) {eps = 0.001}
  %7 = add(%6#0, %5)
})";

TEST(ResidualNormPass, FusesPostNorm) {
  const auto module = after(kPostNorm);
  EXPECT_EQ(ops_of(*module), "residual_norm");
  const Node& n = fused_node(*module);
  EXPECT_EQ(n.attrs.text("norm"), "layer");
  EXPECT_EQ(n.attrs.number("p"), 0.1);
  EXPECT_EQ(n.attrs.integer("ordinal"), 3);
  EXPECT_FALSE(n.attrs.flag("sum"));  // nobody else reads it
  const FusionRecord r = record_of(fuse_residual_norm, kPostNorm);
  EXPECT_TRUE(r.fused);
  EXPECT_EQ(r.region, "residual_norm");
  EXPECT_EQ(r.sentence, "dropout, add and layer_norm run as one pass over memory");
  EXPECT_EQ(r.saves, "192*B*L");
}

TEST(ResidualNormPass, FusesPreNormAndKeepsTheSum) {
  const auto module = after(kPreNorm);
  EXPECT_EQ(ops_of(*module), "add residual_norm");
  const Node& n = fused_node(*module);
  EXPECT_EQ(n.attrs.text("norm"), "rms");
  EXPECT_EQ(n.attrs.number("eps"), 0.001);
  EXPECT_TRUE(n.attrs.flag("sum"));
  EXPECT_EQ(record_of(fuse_residual_norm, kPreNorm).sentence,
            "dropout, add and rms_norm run as one pass over memory; the sum is kept for its other readers");
}

TEST(ResidualNormPass, FusesWithoutDropoutAndGivesStatistics) {
  constexpr const char* kText = R"(
func @main(%0: f32[3, 16], %1: f32[3, 16]) -> (%3#0, %3#1, %3#2) {
  %2 = add(%0, %1)
  %3 = layer_norm(%2)
})";
  const auto module = parse(kText), fused = after(kText);
  EXPECT_EQ(ops_of(*fused), "residual_norm");
  Array x(DType::f32, {3, 16}), y(DType::f32, {3, 16});
  for (int64_t i = 0; i < x.size(); ++i)
    x.set_flat(i, std::sin(static_cast<double>(i))), y.set_flat(i, std::cos(static_cast<double>(3 * i)));
  EXPECT_EQ(bits_differ(run_untouched(module, {x, y}), run_untouched(fused, {x, y})), "");
}

TEST(ResidualNormPass, EveryRuleFires) {
  auto before = rule_counts();
  after(kPostNorm);
  after(kPreNorm);
  for (const char* rule : kResidualNormRules) EXPECT_GT(rule_counts()[rule], before[rule]) << rule;
}

TEST(ResidualNormPass, KeepsADropoutThatOthersRead) {
  const auto module = after(R"(
func @main(%0: f32[3, 16], %1: f32[3, 16], %2: i64[2]) -> (%5#0, %3) {
  %3 = dropout(%1, %2) {p = 0.5}
  %4 = add(%0, %3)
  %5 = layer_norm(%4)
})");
  EXPECT_EQ(ops_of(*module), "dropout residual_norm");
  EXPECT_EQ(fused_node(*module).attrs.number("p"), 0);
}

TEST(ResidualNormPass, OneNormASum) {
  constexpr const char* kTwo = R"(
func @main(%0: f32[3, 16], %1: f32[3, 16]) -> (%3#0, %4#0) {
  %2 = add(%0, %1)
  %3 = layer_norm(%2)
  %4 = rms_norm(%2)
})";
  EXPECT_EQ(ops_of(*after(kTwo)), "residual_norm rms_norm");
  const std::vector<FusionRecord> records = records_of(fuse_residual_norm, kTwo);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_TRUE(records[0].fused);
  EXPECT_EQ(records[1].sentence, "another norm of the same sum is fused with it");
}

TEST(ResidualNormPass, TakesConstantsThatStandBehindTheSum) {
  Function f = [](const std::vector<Tensor>& in) {
    const Tensor y = in[0] + in[1];
    const Tensor gamma = Builder::current()->constant(Array::of(std::vector<float>{1, 2, 3}, {3}));
    return std::vector<Tensor>{layer_norm(y, gamma)};
  };
  const Spec rows(DType::f32, {2, 3});
  const auto module = after_pass(trace(f, {rows, rows}), "residual_norm", Stage::forward);
  EXPECT_EQ(ops_of(*module), "constant residual_norm");
}

TEST(ResidualNormPass, TakesArgumentsThatStandBehindTheSum) {
  Function captured = [](const std::vector<Tensor>& in) {
    const Function f = [&](const std::vector<Tensor>& x) {
      return std::vector<Tensor>{sum(layer_norm(x[0] + x[1], in[2]))};  // in[2] is captured behind the sum
    };
    return grad(f, {0, 1})({in[0], in[1]});
  };
  const Spec rows(DType::f32, {2, 3});
  Program program(trace(captured, {rows, rows, Spec(DType::f32, {3})}), "main");
  int fused = 0;
  const auto plan = program.plan_for({});
  for (const PlanStep& s : plan->steps) fused += s.op == "residual_norm";
  EXPECT_EQ(fused, 1);
}

TEST(ResidualNormPass, LeavesWhatDoesNotPay) {
  const FusionRecord broadcast = record_of(fuse_residual_norm, R"(
func @main(%0: f32[3, 16], %1: f32[16]) -> (%3#0) {
  %2 = add(%0, %1)
  %3 = layer_norm(%2)
})");
  EXPECT_FALSE(broadcast.fused);
  EXPECT_EQ(broadcast.sentence, "a summand of shape [16] is broadcast");
  EXPECT_EQ(code_of(broadcast), "COST");
  constexpr const char* kHalf = R"(
func @main(%0: bf16[3, 16], %1: bf16[3, 16]) -> (%3#0) {
  %2 = add(%0, %1)
  %3 = layer_norm(%2)
})";
  EXPECT_EQ(ops_of(*after(kHalf)), "add layer_norm");
  EXPECT_EQ(record_of(fuse_residual_norm, kHalf).reason, Reason::dtype);
  const FusionRecord late = record_of(fuse_residual_norm, R"(
func @main(%0: f32[3, 16], %1: f32[3, 16], %2: f32[16]) -> (%5#0) {
  %3 = add(%0, %1)
  %4 = neg(%2)
  %5 = layer_norm(%3, %4)
})");
  EXPECT_EQ(late.sentence, "gamma or beta is computed after the sum, and the sum would wait for it");
}

TEST(ResidualNormPass, LeavesSumsThatRideOnPackedProducts) {
  for (const bool bias : {false, true}) {
    Function f = [bias](const std::vector<Tensor>& in) {
      const Tensor weight = Builder::current()->constant(Array(DType::f32, {16, 16}));
      Tensor y = matmul(in[0], weight);
      if (bias) y = y + in[1];
      return std::vector<Tensor>{layer_norm(in[0] + y)};
    };
    const auto module = trace(f, {Spec(DType::f32, {3, 16}), Spec(DType::f32, {16})});
    std::vector<FusionRecord> records;
    PassContext context{module, "cpu", &records};
    EXPECT_EQ(fuse_residual_norm(module->function("main"), context), nullptr);
    ASSERT_EQ(records.size(), 1u);
    EXPECT_EQ(records[0].sentence,
              "the sum rides on the product with packed weights, which writes it anyway");
  }
}

// Alone the norm is computed again from the sum, which is kept in any case.
TEST(ResidualNormPass, StaysApartWhereMemoryIsLimited) {
  const Function f = [](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{layer_norm(in[0] + in[1])};
  };
  const Spec rows(DType::f32, {8, 16});
  for (const int64_t budget : {0, 1 << 20}) {
    CompileOptions options;
    options.memory_budget = budget;
    Program program(trace(f, {rows, rows}), "main", options);
    int fused = 0;
    const auto plan = program.plan_for({});
    for (const PlanStep& s : plan->steps) fused += s.op == "residual_norm";
    EXPECT_EQ(fused, budget == 0 ? 1 : 0);
  }
}

TEST(ResidualNormPass, NeedsASum) {
  EXPECT_TRUE(records_of(fuse_residual_norm, R"(
func @main(%0: f32[3, 16], %1: f32[3, 16]) -> (%3#0) {
  %2 = mul(%0, %1)
  %3 = layer_norm(%2)
})")
                  .empty());
}

// Blocks of layers, trained: launches of the plan, and gradients against the operations as written in
// doubles.
struct Blocks {
  bool centred = true, post = false;
  double p = 0;
  int64_t rows = 37, n = 24;

  Tensor norm(const Tensor& x, const std::vector<Tensor>& in) const {
    return centred ? layer_norm(x, in[2], in[3]) : rms_norm(x, in[2]);
  }
  std::vector<Tensor> operator()(const std::vector<Tensor>& in) const {
    Tensor x = in[0];
    for (int64_t i = 0; i < 2; ++i) {
      const Tensor f = tanh(matmul(post ? x : norm(x, in), in[1]));
      x = x + (p > 0 ? dropout(f, in[4], p, i) : f);
      if (post) x = norm(x, in);
    }
    if (!post) x = norm(x, in);
    return {sum(x * x * x)};
  }
  std::vector<Array> arguments() const {
    std::vector<Array> in{Array(DType::f64, {rows, n}), Array(DType::f64, {n, n}), Array(DType::f64, {n}),
                          Array(DType::f64, {n}), Array::of(std::vector<int64_t>{5, 2}, {2})};
    for (size_t k = 0; k < 4; ++k)
      for (int64_t i = 0; i < in[k].size(); ++i)
        in[k].set_flat(i,
                       std::sin(static_cast<double>(i + 31 * static_cast<int64_t>(k)) * 12.9898) + (k == 2));
    return in;
  }
  std::vector<Array> run(DType type, const CompileOptions& options,
                         std::map<std::string, int>& launches) const {
    std::vector<Array> in = arguments();
    std::vector<Spec> specs;
    for (Array& a : in) {
      if (is_floating(a.dtype())) a = a.cast(type);
      specs.emplace_back(a.dtype(), to_shape(a.shape()));
    }
    Program program(trace(value_and_grad(Function(*this), {0, 1, 2, 3}), specs), "main", options);
    const auto plan = program.plan(in);
    for (const PlanStep& s : plan->steps) ++launches[s.op];
    return plan->run(in);
  }
};

TEST(ResidualNormPass, TrainsAsTheOperationsDo) {
  CompileOptions plain;
  plain.optimise = false;
  plain.backend = "reference";
  for (const bool centred : {true, false})
    for (const bool post : {true, false})
      for (const double p : {0.0, 0.25, 1.0}) {
        SCOPED_TRACE((centred ? "layer" : "rms") + std::string(post ? " post " : " pre ") +
                     std::to_string(p));
        const Blocks blocks{centred, post, p};
        std::map<std::string, int> unused;
        const std::vector<Array> want = blocks.run(DType::f64, plain, unused);
        EXPECT_EQ(unused.count("residual_norm"), 0u);
        for (const DType type : {DType::f32, DType::f64}) {
          std::map<std::string, int> launches;
          const std::vector<Array> got = blocks.run(type, {}, launches);
          EXPECT_EQ(launches["residual_norm"], 2);
          EXPECT_EQ(launches["residual_norm_backward"], 2);
          EXPECT_EQ(launches["dropout"], 0);
          expect_close(got, want, type == DType::f32 ? 3e-5 : 1e-12);
        }
      }
}

// In a stack of pre-norm layers one pass a layer adds the gradient of the residual: no sum of gradients is
// left.
TEST(ResidualNormPass, AddsTheResidualsGradientOnTheWayBack) {
  std::map<std::string, int> launches;
  Blocks{true, false, 0.25}.run(DType::f32, {}, launches);
  EXPECT_EQ(launches["layer_norm"], 1);  // of the argument itself
  std::map<std::string, int> apart;
  CompileOptions plain;
  plain.optimise = false;
  Blocks{true, false, 0.25}.run(DType::f32, plain, apart);
  EXPECT_EQ(apart["add"] - launches["add"], 3);  // two sums, and the gradients of the one with two readers
}

}  // namespace
}  // namespace fovea::test
