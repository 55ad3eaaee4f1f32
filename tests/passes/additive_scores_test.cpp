// Scores of additive attention: which spellings are found, which are left alone and why.
#include "optim/passes/additive_scores.h"

#include "frontends/cpp/fovea.h"
#include "tests/passes/pass_test_util.h"

namespace fovea::test {
namespace {

std::string after(const std::string& text) {
  return ops_of(*after_pass(parse(text), "additive_scores", Stage::forward));
}

// k + q of the shapes of a decoding step and their tanh, then what is given.
std::string step(const std::string& rest, const std::string& w, const std::string& out) {
  return "func @main(%0: f32[B, L, 16], %1: f32[B, 1, 16], %2: " + w + ", %3: f32[1]) -> (" + out + R"() {
  %4 = add(%0, %1)
  %5 = tanh(%4)
)" + rest +
         "}";
}

TEST(AdditiveScoresPass, FindsLinear) {
  const std::string text =
      step("  %6 = linear(%5, %2)\n  %7 = reshape(%6) {shape = <B, L>}\n", "f32[1, 16]", "%7");
  EXPECT_EQ(after(text), "additive_scores reshape*3");
  const FusionRecord r = record_of(fuse_additive_scores, text);
  EXPECT_TRUE(r.fused);
  EXPECT_EQ(r.region, "additive_scores");
  EXPECT_EQ(r.saves, "64*B*L");
  EXPECT_EQ(r.node.substr(0, 7), "linear#");
  EXPECT_EQ(after(step("  %6 = linear(%5, %2, %3)\n", "f32[1, 16]", "%6")), "add additive_scores reshape*2");
}

TEST(AdditiveScoresPass, FindsProductsAndSums) {
  EXPECT_EQ(after(step("  %6 = matmul(%5, %2)\n", "f32[16, 1]", "%6")), "additive_scores reshape*2");
  EXPECT_EQ(after(step("  %6 = mul(%5, %2)\n  %7 = sum(%6) {axes = [2]}\n", "f32[16]", "%7")),
            "additive_scores");
  EXPECT_EQ(
      after(step("  %6 = mul(%2, %5)\n  %7 = sum(%6) {axes = [-1], keepdims = true}\n", "f32[1, 16]", "%7")),
      "additive_scores reshape*2");
}

TEST(AdditiveScoresPass, CountsEachSpelling) {
  auto before = rule_counts();
  after(step("  %6 = linear(%5, %2)\n", "f32[1, 16]", "%6"));
  after(step("  %6 = matmul(%5, %2)\n", "f32[16, 1]", "%6"));
  after(step("  %6 = mul(%5, %2)\n  %7 = sum(%6) {axes = [2]}\n", "f32[16]", "%7"));
  for (const char* rule : kAdditiveScoresRules) EXPECT_EQ(rule_counts()[rule], before[rule] + 1) << rule;
}

TEST(AdditiveScoresPass, LooksThroughReshapes) {
  EXPECT_EQ(
      after(step("  %6 = reshape(%5) {shape = <B*L, 16>}\n  %7 = matmul(%6, %2)\n", "f32[16, 1]", "%7")),
      "additive_scores reshape*2");
  // Rows of another width are other sums.
  const std::string torn =
      step("  %6 = reshape(%5) {shape = <2*B*L, 8>}\n  %7 = matmul(%6, %2)\n", "f32[8, 1]", "%7");
  EXPECT_EQ(after(torn), "add matmul reshape tanh");
}

TEST(AdditiveScoresPass, MovesABiasToTheSmallerSummand) {
  for (const char* sums :
       {"  %4 = add(%0, %1)\n  %5 = add(%4, %2)\n", "  %4 = add(%1, %0)\n  %5 = add(%2, %4)\n"}) {
    const auto module = after_pass(parse(std::string(R"(
func @main(%0: f32[B, L, 16], %1: f32[B, 1, 16], %2: f32[16], %3: f32[1, 16]) -> (%7) {
)") + sums + "  %6 = tanh(%5)\n  %7 = linear(%6, %3)\n}"),
                                   "additive_scores", Stage::forward);
    EXPECT_EQ(ops_of(*module), "add additive_scores reshape*2");
    for (const Node& n : module->function("main").nodes) {
      if (n.op->name() != "add") continue;
      EXPECT_EQ(to_string(n.outputs[0].shape), "[B, 1, 16]");
    }
  }
  // Both summands are as large as the tanh: one of the sums would exist in its place.
  const std::string large = R"(
func @main(%0: f32[B, L, 16], %1: f32[B, L, 16], %2: f32[16], %3: f32[1, 16]) -> (%7) {
  %4 = add(%0, %1)
  %5 = add(%4, %2)
  %6 = tanh(%5)
  %7 = linear(%6, %3)
})";
  EXPECT_EQ(after(large), "add*2 linear tanh");
  EXPECT_EQ(record_of(fuse_additive_scores, large).reason, Reason::cost);
}

TEST(AdditiveScoresPass, LeavesATanhThatIsReadElsewhere) {
  const std::string text = step("  %6 = linear(%5, %2)\n", "f32[1, 16]", "%6, %5");
  EXPECT_EQ(after(text), "add linear tanh");
  EXPECT_EQ(record_of(fuse_additive_scores, text).reason, Reason::escape_s);
  const std::string twice = step(
      "  %6 = linear(%5, %2)\n  %7 = mul(%5, %5)\n  %8 = sum(%7) {axes = [2], keepdims = true}\n"
      "  %9 = add(%6, %8)\n",
      "f32[1, 16]", "%9");
  EXPECT_EQ(after(twice), "add*2 linear mul sum tanh");
  EXPECT_EQ(record_of(fuse_additive_scores, twice).reason, Reason::escape_s);
}

TEST(AdditiveScoresPass, LeavesOtherSums) {
  // Several results a row; weights that differ between rows; a sum over another axis; no sum inside the tanh.
  EXPECT_EQ(after(step("  %6 = linear(%5, %2)\n", "f32[2, 16]", "%6")), "add linear tanh");
  EXPECT_EQ(after(step("  %6 = matmul(%5, %2)\n", "f32[16, 3]", "%6")), "add matmul tanh");
  EXPECT_EQ(after(step("  %6 = matmul(%5, %2)\n", "f32[B, 16, 1]", "%6")), "add matmul tanh");
  EXPECT_EQ(after(step("  %6 = mul(%5, %2)\n  %7 = sum(%6) {axes = [2]}\n", "f32[L, 16]", "%7")),
            "add mul sum tanh");
  EXPECT_EQ(after(step("  %6 = mul(%5, %2)\n  %7 = sum(%6) {axes = [1]}\n", "f32[16]", "%7")),
            "add mul sum tanh");
  EXPECT_EQ(after(step("  %6 = mul(%5, %2)\n  %7 = sum(%6)\n", "f32[16]", "%7")), "add mul sum tanh");
  EXPECT_EQ(after(R"(
func @main(%0: f32[B, L, 16], %1: f32[1, 16]) -> (%3) {
  %2 = tanh(%0)
  %3 = linear(%2, %1)
})"),
            "linear tanh");
  EXPECT_TRUE(records_of(fuse_additive_scores, step("  %6 = linear(%5, %2)\n", "f32[2, 16]", "%6")).empty());
}

TEST(AdditiveScoresPass, LeavesWhatDoesNotPay) {
  constexpr const char* kBias = R"(
func @main(%0: f32[B, 16], %1: f32[16], %2: f32[1, 16]) -> (%5) {
  %3 = add(%0, %1)
  %4 = tanh(%3)
  %5 = linear(%4, %2)
})";
  EXPECT_EQ(after(kBias), "add linear tanh");
  EXPECT_EQ(code_of(record_of(fuse_additive_scores, kBias)), "COST");
  constexpr const char* kHalf = R"(
func @main(%0: bf16[B, 3, 16], %1: bf16[B, 1, 16], %2: bf16[1, 16]) -> (%5) {
  %3 = add(%0, %1)
  %4 = tanh(%3)
  %5 = linear(%4, %2)
})";
  EXPECT_EQ(after(kHalf), "add linear tanh");
  EXPECT_EQ(record_of(fuse_additive_scores, kHalf).reason, Reason::dtype);
  // One column repeated for all: no row of k of its own.
  EXPECT_EQ(after(R"(
func @main(%0: f32[B, 3, 16], %1: f32[B, 1, 1], %2: f32[1, 16]) -> (%5) {
  %3 = add(%0, %1)
  %4 = tanh(%3)
  %5 = linear(%4, %2)
})"),
            "add linear tanh");
}

Array noise(const Dims& shape, int64_t seed) {
  Array a(DType::f64, shape);
  for (int64_t i = 0; i < a.size(); ++i)
    a.set_flat(i, std::sin(static_cast<double>(i + 97 * seed) * 12.9898));
  return a;
}

struct Run {
  std::vector<Array> out;
  std::map<std::string, int> steps;  ///< how many launches of each op
};
Run run(const Function& loss, const std::vector<Array>& in, DType type, const CompileOptions& options) {
  std::vector<Array> typed;
  std::vector<Spec> specs;
  std::vector<int64_t> by;
  for (const Array& a : in) {
    typed.push_back(a.cast(type));
    specs.emplace_back(type, to_shape(a.shape()));
    by.push_back(static_cast<int64_t>(by.size()));
  }
  Program program(trace(value_and_grad(loss, by), specs), "main", options);
  const auto plan = program.plan(typed);
  Run r;
  for (const PlanStep& s : plan->steps) ++r.steps[s.op];
  r.out = plan->run(typed);
  return r;
}

void expect_same_training(const Function& loss, const std::vector<Array>& in, int scores) {
  CompileOptions plain;
  plain.optimise = false;
  plain.backend = "reference";
  const Run want = run(loss, in, DType::f64, plain);
  EXPECT_EQ(want.steps.count("additive_scores"), 0u);
  for (const DType type : {DType::f32, DType::f64}) {
    Run got = run(loss, in, type, {});
    EXPECT_EQ(got.steps["additive_scores"], scores);
    EXPECT_EQ(got.steps["additive_scores_backward"], scores);
    EXPECT_EQ(got.steps.count("tanh"), 0u);
    expect_close(got.out, want.out, type == DType::f32 ? 3e-6 : 1e-13);
  }
}

// Two steps that share their keys, as a decoder's do; rows and columns that fill no vector.
TEST(AdditiveScoresPass, TrainsAsTheOperationsDo) {
  const Function loss = [](const std::vector<Tensor>& in) {
    Tensor total;
    for (const size_t q : {1, 2}) {
      const Tensor t = tanh(in[0] + unsqueeze(in[q], 1));
      const Tensor weights = softmax(squeeze(linear(t, in[3] * 0.1), {-1}), -1);
      const Tensor context = squeeze(matmul(unsqueeze(weights, 1), in[0]), {1});
      const Tensor squares = sum(context * context);
      total = total.defined() ? total + squares : squares;
    }
    return std::vector<Tensor>{total};
  };
  for (const int64_t batch : {37, 3})
    expect_same_training(
        loss, {noise({batch, 21, 83}, 1), noise({batch, 83}, 2), noise({batch, 83}, 3), noise({1, 83}, 4)},
        2);
}

// All queries at once: k and q are both repeated; a bias inside the tanh.
TEST(AdditiveScoresPass, TrainsWithManyQueries) {
  const Function loss = [](const std::vector<Tensor>& in) {
    const Tensor t = tanh(unsqueeze(in[0], 1) + unsqueeze(in[1], 2) + in[4]);  // [B, I, J, D]
    const Tensor scores = sum(t * in[2], {-1});
    return std::vector<Tensor>{sum(scores * in[3])};
  };
  for (const int64_t batch : {1, 20})
    expect_same_training(loss,
                         {noise({batch, 9, 70}, 1), noise({batch, 7, 70}, 2), noise({70}, 3),
                          noise({batch, 7, 9}, 4), noise({70}, 5)},
                         1);
}

}  // namespace
}  // namespace fovea::test
