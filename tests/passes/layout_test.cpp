// Layout: sums of padded pieces become one concatenation.
#include "optim/passes/layout.h"

#include "frontends/cpp/fovea.h"
#include "graph/autodiff/vjp.h"
#include "ops/composite/attention/attention.h"
#include "tests/passes/pass_test_util.h"

namespace fovea::test {
namespace {

// Numbers without -0: in a piece it stays -0, the sum gave 0.
void expect_same_values(const std::shared_ptr<Module>& before, const std::shared_ptr<Module>& after) {
  for (size_t shift = 0; shift < 22; ++shift) {
    auto in = special_inputs(*before, shift);
    for (Array& a : in)
      for (int64_t i = 0; i < a.size(); ++i)
        if (a.get_flat(i) == 0) a.set_flat(i, 0);
    ASSERT_EQ(bits_differ(run_untouched(before, in), run_untouched(after, in)), "") << print(*after);
  }
}

std::string laid_out(const std::string& text) {
  const auto before = parse(text);
  const auto after = after_pass(before, "layout");
  expect_same_values(before, after);
  return ops_of(*after);
}

std::string pad(const std::string& x, const std::string& low, const std::string& high) {
  return " = pad(" + x + ") {low = <" + low + ">, high = <" + high + ">, interior = [0, 0]}\n";
}

TEST(Layout, PiecesOfOneTensorAreConcatenated) {
  const int64_t times = rule_counts()["concat_of_pads"];
  const std::string args = "func @main(%0: f32[2, 3], %1: f32[2, 4], %2: f32[2, 1]) -> (%7) {\n";
  EXPECT_EQ(laid_out(args + "%3" + pad("%1", "0, 4", "0, 0") + "%4" + pad("%2", "0, 3", "0, 4") + "%5" +
                     pad("%0", "0, 0", "0, 5") + "%6 = add(%3, %4)\n%7 = add(%5, %6)\n}"),
            "concat");
  EXPECT_EQ(rule_counts()["concat_of_pads"], times + 1);
  // With gaps, and one operand more.
  EXPECT_EQ(laid_out("func @main(%0: f32[2, 3], %1: f32[2, 4], %2: f32[2, 12]) -> (%6) {\n%3" +
                     pad("%1", "0, 7", "0, 1") + "%4" + pad("%0", "0, 2", "0, 7") +
                     "%5 = add(%3, %2)\n%6 = add(%5, %4)\n}"),
            "add concat full*3");
  // Sizes that are symbols.
  EXPECT_EQ(laid_out("func @main(%0: f32[2, B], %1: f32[2, L]) -> (%4) {\n%2" + pad("%1", "0, B", "0, 0") +
                     "%3" + pad("%0", "0, 0", "0, L") + "%4 = add(%3, %2)\n}"),
            "concat");
}

TEST(Layout, OtherSumsStay) {
  const std::string args = "func @main(%0: f32[2, 3], %1: f32[2, 4], %2: f32[2, 7]) -> ";
  // Overlapping pieces; pieces along different axes; two other operands between them.
  EXPECT_EQ(laid_out(args + "(%5) {\n%3" + pad("%0", "0, 0", "0, 4") + "%4" + pad("%1", "0, 2", "0, 1") +
                     "%5 = add(%3, %4)\n}"),
            "add pad*2");
  EXPECT_EQ(laid_out(args + "(%6) {\n%3" + pad("%0", "0, 0", "2, 0") + "%4" + pad("%0", "2, 0", "0, 0") +
                     "%5 = slice(%3) {starts = <0, 0>, stops = <4, 3>, steps = [1, 1]}\n%6 = add(%5, %4)\n}"),
            "add pad*2 slice");
  EXPECT_EQ(laid_out(args + "(%8) {\n%3" + pad("%0", "0, 0", "0, 4") + "%4" + pad("%1", "0, 3", "0, 0") +
                     "%5 = add(%3, %2)\n%6 = mul(%2, %2)\n%7 = add(%5, %6)\n%8 = add(%7, %4)\n}"),
            "add*3 mul pad*2");
  // An inner sum that is read twice is a result of its own.
  EXPECT_EQ(laid_out(args + "(%6, %7) {\n%3" + pad("%0", "0, 0", "0, 4") + "%4" + pad("%1", "0, 3", "0, 0") +
                     "%5 = add(%3, %2)\n%6 = add(%5, %4)\n%7 = neg(%5)\n}"),
            "add*2 neg pad*2");
}

// The gradient of packed projections: split, chunk, slices and unbind all give one concatenation.
TEST(Layout, GradientsOfPackedProjections) {
  const Function by_split = [](const std::vector<Tensor>& in) {
    const auto parts = split(in[0], {4, 4, 4}, 1);
    return std::vector<Tensor>{sum(parts[0] * parts[1] + exp(parts[2]))};
  };
  const Function by_unbind = [](const std::vector<Tensor>& in) {
    const auto parts = unbind(in[0].reshape({2, 3, 4}), 1);
    return std::vector<Tensor>{sum(parts[0] * parts[1] + exp(parts[2]))};
  };
  for (const Function& f : {by_split, by_unbind}) {
    const auto module = trace(grad(f), {{DType::f32, {2, 12}}}, "main");
    const Program program(module, "main");
    int pads = 0, concats = 0;
    for (const Node& n : program.graph().nodes) {
      pads += n.op->name() == "pad";
      concats += n.op->name() == "concat";
    }
    EXPECT_EQ(pads, 0);
    EXPECT_EQ(concats, 1);
  }
}

// Scores as they are; axes named batch, head, row, channel.
Tensor plain_attention(const std::vector<Tensor>& in) {
  AttentionSpec spec;
  spec.score.results = {spec.score.input(0)};
  return attention(in[0], in[1], in[2], {}, spec).y;
}

const std::vector<Spec> kHeads = {
    {DType::f32, {2, 3, 4, 5}}, {DType::f32, {2, 3, 6, 5}}, {DType::f32, {2, 3, 6, 2}}};

std::vector<Array> heads() {
  std::vector<Array> out;
  for (const Spec& s : kHeads) {
    Array a(DType::f32, evaluate(s.type.shape, {}));
    for (int64_t i = 0; i < a.size(); ++i) a.set_flat(i, std::sin(static_cast<double>(i + a.size())));
    out.push_back(a);
  }
  return out;
}

TEST(Layout, AttentionWritesInTheOrderInWhichItIsRead) {
  const int64_t times = rule_counts()["attention_order"];
  const auto before = trace(
      [](const std::vector<Tensor>& in) {
        return std::vector<Tensor>{plain_attention(in).permute({0, 2, 1, 3}).reshape({2, 4, 6})};
      },
      kHeads, "main");
  const auto after = after_pass(before, "layout", Stage::forward);
  EXPECT_EQ(ops_of(*after), "attention reshape");
  EXPECT_EQ(bits_differ(run_untouched(before, heads()), run_untouched(after, heads())), "");
  EXPECT_EQ(rule_counts()["attention_order"], times + 1);
}

TEST(Layout, OrdersOfAttentionAddUp) {
  const auto expect_alone = [](const std::shared_ptr<Module>& before) {
    const auto after = after_pass(before, "layout", Stage::forward);
    EXPECT_EQ(ops_of(*after), "attention");
    EXPECT_EQ(bits_differ(run_untouched(before, heads()), run_untouched(after, heads())), "");
    return after;
  };
  expect_alone(trace(
      [](const std::vector<Tensor>& in) {
        return std::vector<Tensor>{plain_attention(in).permute({0, 2, 1, 3}).permute({3, 0, 1, 2})};
      },
      kHeads, "main"));
  // Two that undo each other, one of them taken over already: what is read is written.
  const auto ordered = expect_alone(trace(
      [](const std::vector<Tensor>& in) {
        return std::vector<Tensor>{plain_attention(in).permute({0, 2, 1, 3})};
      },
      kHeads, "main"));
  const auto there_and_back = trace(
      [](const std::vector<Tensor>& in) {
        return std::vector<Tensor>{
            plain_attention(in).permute({0, 2, 1, 3}).permute({0, 2, 1, 3}).permute({0, 2, 1, 3})};
      },
      kHeads, "main");
  EXPECT_EQ(print(*expect_alone(there_and_back)), print(*ordered));
}

TEST(Layout, AttentionThatIsReadElsewhereStays) {
  const auto both = trace(
      [](const std::vector<Tensor>& in) {
        const Tensor y = plain_attention(in);
        return std::vector<Tensor>{y.permute({0, 2, 1, 3}), exp(y)};
      },
      kHeads, "main");
  EXPECT_EQ(ops_of(*after_pass(both, "layout", Stage::forward)), "attention exp permute");
  const auto result = trace(
      [](const std::vector<Tensor>& in) { return std::vector<Tensor>{plain_attention(in)}; }, kHeads, "main");
  EXPECT_EQ(ops_of(*after_pass(result, "layout", Stage::forward)), "attention");
}

TEST(Layout, GradientsOfAttentionToo) {
  const Function loss = [](const std::vector<Tensor>& in) {
    const Tensor y = plain_attention(in);
    return std::vector<Tensor>{sum(y * y)};
  };
  const auto module = trace(
      [&](const std::vector<Tensor>& in) {
        const auto g = grad(loss, {0, 1, 2})(in);
        return std::vector<Tensor>{g[0].permute({2, 0, 1, 3}), g[1], g[2].permute({3, 2, 1, 0})};
      },
      kHeads, "main");
  auto before = std::make_shared<Module>(*module);
  before->functions["main"] = expand_functions(before, before->function("main"));
  const auto after = after_pass(before, "layout");
  int permutes = 0;
  for (const Node& n : after->function("main").nodes) permutes += n.op->name() == "permute";
  EXPECT_EQ(permutes, 0) << print(*after);
  EXPECT_EQ(bits_differ(run_untouched(before, heads()), run_untouched(after, heads())), "");
}

}  // namespace
}  // namespace fovea::test
