// Layout: sums of padded pieces become one concatenation.
#include "optim/passes/layout.h"

#include "frontends/cpp/fovea.h"
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

}  // namespace
}  // namespace fovea::test
