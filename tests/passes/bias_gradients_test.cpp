// Gradients of biases summed while what they sum is computed: where, where not, and that training stays
// right.
#include "optim/passes/bias_gradients.h"

#include "frontends/cpp/fovea.h"
#include "tests/passes/pass_test_util.h"

namespace fovea::test {
namespace {

std::string after(const std::string& text) { return ops_of(*after_pass(parse(text), "bias_gradients")); }

constexpr const char* kActivation = R"(
func @main(%0: f32[B, 3, 16], %1: f32[B, 3, 16]) -> (%2, %4) {
  %2 = gelu_backward(%0, %1)
  %3 = reshape(%2) {shape = <3*B, 16>}
  %4 = sum(%3) {axes = [0]}
})";

constexpr const char* kResidual = R"(
func @main(%0: f32[6, 16], %1: f32[6, 16], %2: f32[6], %3: f32[6, 16], %4: f32[6], %5: f32[16], %6: i64[2]) -> (%7#0, %7#1, %7#2, %7#3, %8) {
  %7 = residual_norm_backward(%0, %1, %2, %3, %4, %5, %6) {p = 0.25, residual = true}
  %8 = sum(%7#1) {axes = [0], keepdims = true}
})";

TEST(BiasGradients, SumsBehindActivations) {
  EXPECT_EQ(after(kActivation), "bias_activation_backward");
  for (const char* name : {"relu", "silu", "sigmoid", "tanh"}) {
    std::string text = kActivation;
    text.replace(text.find("gelu"), 4, name);
    EXPECT_EQ(after(text), "bias_activation_backward") << name;
  }
}

TEST(BiasGradients, SumsOfBranches) { EXPECT_EQ(after(kResidual), "reshape residual_norm_backward"); }

TEST(BiasGradients, GivesWhatTheOperationsGive) {
  for (const char* text : {kActivation, kResidual}) {
    const auto module = parse(text), fused = after_pass(module, "bias_gradients");
    std::vector<Array> in;
    const Graph& graph = module->function("main");
    for (NodeId id : graph.inputs) {
      const TensorType& type = graph.nodes[id].outputs[0];
      Array a(DType::f64, evaluate(type.shape, {{"B", 2}}));
      for (int64_t i = 0; i < a.size(); ++i)
        a.set_flat(i, 1.2 + std::sin(static_cast<double>(7 * i + 3 * id)));
      in.push_back(a.cast(type.dtype));
    }
    EXPECT_EQ(bits_differ(run_untouched(module, in), run_untouched(fused, in)), "");
  }
}

TEST(BiasGradients, EveryRuleFires) {
  auto before = rule_counts();
  after(kActivation);
  after(kResidual);
  for (const char* rule : kBiasGradientsRules) EXPECT_EQ(rule_counts()[rule], before[rule] + 1) << rule;
}

TEST(BiasGradients, ExplainsItself) {
  const FusionRecord record = record_of(fuse_bias_gradients, kActivation);
  EXPECT_TRUE(record.fused);
  EXPECT_EQ(record.region, "bias_gradient");
  EXPECT_EQ(record.sentence, "gelu_backward sums its result over the rows as it is computed");
  EXPECT_EQ(record.saves, "192*B");
}

TEST(BiasGradients, LeavesOtherSums) {
  // Over the columns, over one of two leading axes, of a residual's gradient before the dropout, of half
  // types, of a product, and of an operand that was broadcast.
  EXPECT_EQ(after(R"(
func @main(%0: f32[6, 16], %1: f32[6, 16]) -> (%3) {
  %2 = relu_backward(%0, %1)
  %3 = sum(%2) {axes = [1]}
})"),
            "relu_backward sum");
  EXPECT_EQ(after(R"(
func @main(%0: f32[2, 6, 16], %1: f32[2, 6, 16]) -> (%3) {
  %2 = relu_backward(%0, %1)
  %3 = sum(%2) {axes = [1]}
})"),
            "relu_backward sum");
  std::string other = kResidual;
  other.replace(other.find("sum(%7#1)"), 9, "sum(%7#0)");
  EXPECT_EQ(after(other), "residual_norm_backward sum");
  EXPECT_EQ(after(R"(
func @main(%0: f16[6, 16], %1: f16[6, 16]) -> (%3) {
  %2 = relu_backward(%0, %1)
  %3 = sum(%2) {axes = [0]}
})"),
            "relu_backward sum");
  EXPECT_EQ(after(R"(
func @main(%0: f32[6, 16], %1: f32[6, 16]) -> (%3) {
  %2 = mul(%0, %1)
  %3 = sum(%2) {axes = [0]}
})"),
            "mul sum");
  EXPECT_EQ(after(R"(
func @main(%0: f32[6, 16], %1: f32[16]) -> (%3) {
  %2 = relu_backward(%0, %1)
  %3 = sum(%2) {axes = [0]}
})"),
            "relu_backward sum");
}

// Two layers with biases everywhere, against the operations as written in doubles.
TEST(BiasGradients, TrainsAsTheOperationsDo) {
  const int64_t rows = 70, n = 24, wide = 40;
  const Function loss = [](const std::vector<Tensor>& in) {
    const Tensor h = gelu(linear(in[0], in[1], in[2]));
    const Tensor y = in[0] + dropout(linear(h, in[3], in[4]), in[5], 0.25);
    const Tensor z = layer_norm(y, in[6], in[7]);
    return std::vector<Tensor>{sum(z * z * z) + sum(y * y)};
  };
  std::vector<Array> in{Array(DType::f64, {rows, n}), Array(DType::f64, {wide, n}),
                        Array(DType::f64, {wide}),    Array(DType::f64, {n, wide}),
                        Array(DType::f64, {n}),       Array::of(std::vector<int64_t>{5, 2}, {2}),
                        Array(DType::f64, {n}),       Array(DType::f64, {n})};
  for (size_t k = 0; k < in.size(); ++k)
    for (int64_t i = 0; k != 5 && i < in[k].size(); ++i)
      in[k].set_flat(i, std::sin(static_cast<double>(i + 31 * static_cast<int64_t>(k)) * 12.9898));
  auto run = [&](DType type, const CompileOptions& options, std::map<std::string, int>& launches) {
    std::vector<Array> args;
    std::vector<Spec> specs;
    for (const Array& a : in) {
      args.push_back(is_floating(a.dtype()) ? a.cast(type) : a);
      specs.emplace_back(args.back().dtype(), to_shape(a.shape()));
    }
    Program program(trace(value_and_grad(loss, {1, 2, 3, 4, 6, 7}), specs), "main", options);
    const auto plan = program.plan(args);
    for (const PlanStep& s : plan->steps) ++launches[s.op];
    return plan->run(args);
  };
  CompileOptions plain;
  plain.optimise = false;
  plain.backend = "reference";
  std::map<std::string, int> unused;
  const std::vector<Array> want = run(DType::f64, plain, unused);
  for (const DType type : {DType::f32, DType::f64}) {
    std::map<std::string, int> launches;
    const std::vector<Array> got = run(type, {}, launches);
    EXPECT_EQ(launches["bias_activation_backward"], 1);
    EXPECT_EQ(launches["residual_norm_backward"], 1);
    EXPECT_EQ(launches["gelu_backward"], 0);
    EXPECT_EQ(launches["sum"], 2);  // those of the loss
    expect_close(got, want, type == DType::f32 ? 1e-5 : 1e-13);
  }
}

}  // namespace
}  // namespace fovea::test
