// The pipeline: what runs where, FOVEA_PASSES, and what programs keep.
#include <cstdlib>

#include "frontends/cpp/fovea.h"
#include "optim/rewrite/optimise.h"
#include "optim/rewrite/selection.h"
#include "tests/passes/pass_test_util.h"

namespace fovea::test {
namespace {

struct Passes {
  explicit Passes(const char* value) { setenv("FOVEA_PASSES", value, 1); }
  ~Passes() { unsetenv("FOVEA_PASSES"); }
};

// Something for every clean-up pass.
const char* const kText = R"(
func @main(%0: f32[4]) -> (%6) {
  %1 = full() {value = 1.0}
  %2 = mul(%0, %1)
  %3 = exp(%2)
  %4 = exp(%2)
  %5 = sin(%4)
  %6 = add(%3, %4)
})";

std::string compiled(CompileOptions options = {}) {
  options.numerics = options.numerics == "default" ? "strict" : options.numerics;  // what is left is not regrouped
  const Program program(parse(kText), "main", std::move(options));
  Module module = *program.module();
  module.functions["main"] = std::make_shared<Graph>(program.graph());
  return ops_of(module);
}

std::string message_of(const std::string& text) {
  try {
    PassSelection::parse(text, {"cse", "dce"});
  } catch (const Error& e) {
    return e.message();
  }
  return "";
}

TEST(Pipeline, RunsByDefault) {
  EXPECT_EQ(compiled(), "add exp");
  CompileOptions off;
  off.optimise = false;
  EXPECT_EQ(compiled(off), "add exp*2 full mul sin");
}

TEST(Pipeline, ReferenceIsUntouchedUnlessAsked) {
  CompileOptions options;
  options.backend = "reference";
  EXPECT_EQ(compiled(options), "add exp*2 full mul sin");
  options.optimise = true;
  EXPECT_EQ(compiled(options), "add exp");
}

TEST(Pipeline, NumericsIsChecked) {
  CompileOptions options;
  options.numerics = "strict";
  EXPECT_EQ(compiled(options), "add exp");
  options.numerics = "loose";
  EXPECT_THROW(compiled(options), Error);
}

TEST(Pipeline, LeavesTheModuleAsItWasTraced) {
  const auto module = parse(kText);
  const std::string before = print(*module);
  Program(module, "main").run({Array::full(DType::f32, {4}, 1)});
  EXPECT_EQ(print(*module), before);
}

TEST(Pipeline, PassesAreChosenByName) {
  {
    Passes off("-cse,-algebra");
    EXPECT_EQ(compiled(), "add exp*2 full mul");
  }
  {
    Passes only("only:algebra,dce");
    EXPECT_EQ(compiled(), "add exp*2");
  }
  {
    Passes first("until:1");
    EXPECT_EQ(compiled(), "add exp*2 full mul");
    EXPECT_EQ(compiled(), "add exp*2 full mul sin");  // the first change of the process has been made
  }
  EXPECT_EQ(compiled(), "add exp");
}

TEST(Pipeline, SelectionIsRead) {
  const PassSelection s = PassSelection::parse(" only:cse, dce,time,print:dce ,until:7", {"cse", "dce"});
  EXPECT_EQ(s.only, (std::set<std::string>{"cse", "dce"}));
  EXPECT_EQ(s.printed, (std::set<std::string>{"dce"}));
  EXPECT_TRUE(s.time);
  EXPECT_EQ(s.until, 7);
  EXPECT_EQ(message_of("-no"), "FOVEA_PASSES: there is no pass 'no'; the passes are cse, dce");
  EXPECT_EQ(message_of("cse"),
            "FOVEA_PASSES: 'cse' is not understood; it takes -PASS, only:PASS,PASS, print:PASS, until:NUMBER "
            "and time");
  EXPECT_EQ(message_of("until:x"), "FOVEA_PASSES: 'until:x' holds no number of changes");
}

TEST(Pipeline, UntilOnePassStopsThere) {
  const auto module = parse(kText);
  PassContext context{module};
  Module after = *module;
  after.functions["main"] = run_passes_until(module->function("main"), Stage::forward, context, "algebra");
  EXPECT_EQ(ops_of(after), "add exp*2");
}

TEST(Pipeline, EveryRuleIsListed) {
  const auto counts = rule_counts();
  for (const Pass& pass : all_passes()) {
    EXPECT_FALSE(pass.rules.empty()) << pass.name;
    for (const char* rule : pass.rules) EXPECT_TRUE(counts.count(rule)) << rule;
  }
}

// Calls, gradients within gradients, loops and branches: optimised and untouched agree to the last bit on
// whole numbers.
TEST(Pipeline, FunctionsAndControlFlow) {
  const Function cube = [](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{sum(in[0] * in[0] * in[0] * 1.0)};
  };
  const Function slope = grad(
      [cube](const std::vector<Tensor>& in) { return std::vector<Tensor>{sum(grad(cube)(in)[0] * in[0])}; });
  const Function main = [&](const std::vector<Tensor>& in) {
    const Tensor s = slope({in[0]})[0];
    const auto last = scan(
        [&](const std::vector<Tensor>& c) {
          const Tensor next = c[0] * 1.0 + c[1] + s * 0.0;
          return std::vector<Tensor>{next, neg(neg(next))};
        },
        {in[0]}, {in[1]});
    const Tensor chosen = cond(
        sum(last[0]) > 0.0, [&](const std::vector<Tensor>& c) { return std::vector<Tensor>{c[0] / 1.0}; },
        [&](const std::vector<Tensor>& c) { return std::vector<Tensor>{-c[0]}; }, {s})[0];
    return std::vector<Tensor>{sum(chosen) + sum(last[1])};
  };
  const auto module = trace(value_and_grad(main, {0, 1}), {{DType::f64, {4}}, {DType::f64, {3, 4}}}, "main");
  const Array x = Array::of(std::vector<double>{1, -2, 3, 4}, {4});
  Array xs(DType::f64, {3, 4});
  for (int64_t i = 0; i < xs.size(); ++i) xs.set_flat(i, static_cast<double>(i % 5) - 2);
  const auto want = run_untouched(module, {x, xs});
  for (const char* backend : {"reference", "cpu"}) {
    CompileOptions options;
    options.backend = backend;
    options.optimise = true;
    Program program(module, "main", options);
    EXPECT_EQ(bits_differ(want, program.run({x, xs})), "") << backend;
  }
}

// What is computed again in a gradient must not see the form of a body that has lost its stop_gradient.
TEST(Pipeline, BodiesAreDifferentiatedAsTraced) {
  const Function main = [](const std::vector<Tensor>& in) {
    const auto last = scan(
        [&](const std::vector<Tensor>& c) { return std::vector<Tensor>{c[0] * stop_gradient(c[0]) + c[1]}; },
        {in[0]}, {in[1]});
    return std::vector<Tensor>{sum(last[0])};
  };
  const auto module = trace(value_and_grad(main, {0, 1}), {{DType::f64, {2}}, {DType::f64, {3, 2}}}, "main");
  const Array x = Array::of(std::vector<double>{1, -2}, {2}), xs = Array::full(DType::f64, {3, 2}, 2);
  EXPECT_EQ(bits_differ(run_untouched(module, {x, xs}), Program(module, "main").run({x, xs})), "");
}

}  // namespace
}  // namespace fovea::test
