// Common subexpressions: what merges, and what must not.
#include "optim/passes/cse.h"

#include "frontends/cpp/fovea.h"
#include "tests/passes/pass_test_util.h"

namespace fovea::test {
namespace {

std::string after(const std::string& text) { return ops_of(*after_pass(parse(text), "cse")); }

TEST(CommonSubexpressions, EqualNodesBecomeOne) {
  const auto before = parse(R"(
func @main(%0: f32[4, 11], %1: f32[11]) -> (%8, %9) {
  %2 = add(%0, %1)
  %3 = add(%1, %0)
  %4 = exp(%2)
  %5 = exp(%3)
  %6 = sum(%4) {axes = [1]}
  %7 = sum(%5) {axes = [-1]}
  %8 = mul(%6, %7)
  %9 = sum(%5) {axes = [0]}
})");
  const auto merged = after_pass(before, "cse");
  EXPECT_EQ(ops_of(*merged), "add exp mul sum*2");
  expect_same_bits(before, merged);
}

TEST(CommonSubexpressions, OfSeveralResults) {
  EXPECT_EQ(after(R"(
func @main(%0: f32[2, 3]) -> (%3) {
  %1 = unstack(%0) {axis = 0}
  %2 = unstack(%0) {axis = 0}
  %3 = sub(%1#0, %2#1)
})"),
            "sub unstack");
}

TEST(CommonSubexpressions, StayApart) {
  // Another order, another attribute, the order of a maximum (its zeros), -0 beside 0.
  EXPECT_EQ(after(R"(
func @main(%0: f32[4], %1: f32[4]) -> (%10, %11, %12, %13, %6, %7, %8, %9) {
  %2 = sub(%0, %1)
  %3 = sub(%1, %0)
  %4 = maximum(%0, %1)
  %5 = maximum(%1, %0)
  %6 = full() {value = 0.0}
  %7 = full() {value = -0.0}
  %8 = cumsum(%0) {axis = 0}
  %9 = cumsum(%0) {axis = 0, reverse = true}
  %10 = neg(%2)
  %11 = neg(%3)
  %12 = neg(%4)
  %13 = neg(%5)
})"),
            "cumsum*2 full*2 maximum*2 neg*4 sub*2");
  // Random ops, effects, barriers.
  EXPECT_EQ(after(R"(
func @main(%0: f32[4], %1: i64[2]) -> (%2, %3, %4, %5, %6, %7) {
  %2 = dropout(%0, %1) {p = 0.5, ordinal = 1}
  %3 = dropout(%0, %1) {p = 0.5, ordinal = 1}
  %4 = debug_print(%0) {label = "x"}
  %5 = debug_print(%0) {label = "x"}
  %6 = identity(%0) {barrier = true}
  %7 = identity(%0) {barrier = true}
})"),
            "debug_print*2 dropout*2 identity*2");
}

TEST(CommonSubexpressions, CallsStayApart) {
  EXPECT_EQ(after(R"(
func @f(%0: f32[4]) -> (%1) {
  %1 = debug_print(%0) {label = "x"}
}
func @main(%0: f32[4]) -> (%1, %2) {
  %1 = call(%0) {function = @f}
  %2 = call(%0) {function = @f}
})"),
            "call*2");
}

// The forward pass of a checkpointed function runs again; merged with the first run it would keep what
// checkpointing is there to forget.
TEST(CommonSubexpressions, CheckpointsComputeAgain) {
  const Function block =
      checkpoint([](const std::vector<Tensor>& in) { return std::vector<Tensor>{exp(sin(exp(in[0])))}; });
  const Function loss = [&](const std::vector<Tensor>& in) { return std::vector<Tensor>{sum(block(in)[0])}; };
  const auto module = trace(value_and_grad(loss), {{DType::f32, {8}}}, "main");
  const Program program(module, "main");
  int sines = 0;
  for (const Node& n : program.graph().nodes) sines += n.op->name() == "sin";
  EXPECT_EQ(sines, 2) << print(*program.module(), program.graph());
}

}  // namespace
}  // namespace fovea::test
