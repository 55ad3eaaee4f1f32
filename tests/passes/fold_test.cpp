// Constant folding and dead code.
#include "optim/passes/fold.h"

#include "tests/passes/pass_test_util.h"

namespace fovea::test {
namespace {

std::shared_ptr<Module> folded(const std::string& text) {
  const auto before = parse(text);
  const auto after = after_pass(before, "fold");
  expect_same_bits(before, after);
  return after;
}

TEST(Fold, ComputesOnConstants) {
  const int64_t times = rule_counts()["fold_constant"];
  const auto after = folded(R"(constant 0: f32[4] = [0.5, -1.0, 2.0, 3.0]
func @main(%0: f32[2, 2]) -> (%5) {
  %1 = constant() {dtype = f32, index = 0, shape = <4>}
  %2 = exp(%1)
  %3 = reshape(%2) {shape = <2, 2>}
  %4 = permute(%3) {axes = [1, 0]}
  %5 = mul(%0, %4)
})");
  EXPECT_EQ(ops_of(*after), "constant mul");
  EXPECT_EQ(rule_counts()["fold_constant"], times + 3);
}

TEST(Fold, OneNumberStaysOneNumber) {
  const int64_t times = rule_counts()["fold_uniform"];
  const auto after = folded(R"(
func @main(%0: f32[B, L]) -> (%7) {
  %1 = full() {value = 2.0, shape = <B, L>}
  %2 = full() {value = 3.0}
  %3 = div(%1, %2)
  %4 = permute(%3) {axes = [1, 0]}
  %5 = permute(%4) {axes = [1, 0]}
  %6 = exp(%5)
  %7 = add(%0, %6)
})");
  EXPECT_EQ(ops_of(*after), "add full");
  EXPECT_EQ(rule_counts()["fold_uniform"], times + 4);
}

TEST(Fold, LeavesAlone) {
  // Masks of positions, random numbers, effects, results far larger than their parts, what fails when run.
  EXPECT_EQ(ops_of(*folded(R"(constant 0: f32[2] = [0.5, -1.0]
constant 1: i64[2] = [1, 2]
constant 2: i64[1] = [7]
func @main() -> (%4, %7, %8, %10) {
  %0 = iota() {shape = <3, 3>, axis = 0, dtype = i64}
  %1 = iota() {shape = <3, 3>, axis = 1, dtype = i64}
  %2 = constant() {dtype = f32, index = 0, shape = <2>}
  %3 = constant() {dtype = i64, index = 1, shape = <2>}
  %4 = less(%0, %1)
  %5 = full() {value = 1.0, shape = <2>}
  %6 = identity(%5) {barrier = true}
  %7 = dropout(%6, %3) {p = 0.5, ordinal = 0}
  %8 = debug_print(%2) {label = "x"}
  %9 = reshape(%2) {shape = <2, 1>}
  %10 = broadcast_to(%9) {shape = <2, 400>}
})")),
            "broadcast_to constant*3 debug_print dropout full identity iota*2 less");
}

TEST(Fold, KeepsWhatFails) {
  const auto before = parse(R"(constant 0: f32[2] = [0.5, -1.0]
constant 1: i64[1] = [7]
func @main() -> (%2) {
  %0 = constant() {dtype = f32, index = 0, shape = <2>}
  %1 = constant() {dtype = i64, index = 1, shape = <1>}
  %2 = gather(%0, %1) {axis = 0}
})");
  const auto after = after_pass(before, "fold");
  EXPECT_EQ(ops_of(*after), "constant*2 gather");
  EXPECT_THROW(run_untouched(after, {}), Error);
}

TEST(DeadCode, GoesAndEffectsStay) {
  const int64_t times = rule_counts()["dead_code"];
  const auto before = parse(R"(
func @main(%0: f32[2], %1: f32[3]) -> (%5) {
  %2 = exp(%0)
  %3 = mul(%2, %2)
  %4 = debug_print(%2) {label = ""}
  %5 = neg(%0)
})");
  const auto after = after_pass(before, "dce");
  EXPECT_EQ(ops_of(*after), "debug_print exp neg");
  EXPECT_EQ(after->function("main").inputs.size(), 2u);
  EXPECT_EQ(rule_counts()["dead_code"], times + 1);
  EXPECT_EQ(print(*after), print(*after_pass(after, "dce")));
}

}  // namespace
}  // namespace fovea::test
